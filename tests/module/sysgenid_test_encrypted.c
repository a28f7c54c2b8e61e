// SPDX-License-Identifier: GPL-2.0
/*
 * Makes sysgenid.ko believe that it runs in a guest with encrypted memory, and
 * nobody else. No emulator has such guests, and cc_platform_has() itself cannot
 * be probed: so each call of it in the module's code is.
 */
#include <linux/cc_platform.h>
#include <linux/kobject.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/unaligned.h>

#define CALL		0xe8
#define JUMP		0xe9
#define SIZE		5
#define MOST_CALLS	8

static unsigned int asked;
module_param(asked, uint, 0444);
MODULE_PARM_DESC(asked, "how often it was asked whether memory is encrypted");

static int answer(struct kprobe *probe, struct pt_regs *regs)
{
	if (regs->di != CC_ATTR_MEM_ENCRYPT && regs->di != CC_ATTR_GUEST_MEM_ENCRYPT)
		return 0;

	asked++;
	regs->ax = true;
	if (probe->opcode == CALL) {
		regs->ip = (unsigned long)probe->addr + SIZE;
	} else {
		/* The last that a function does. */
		regs->ip = *(unsigned long *)regs->sp;
		regs->sp += sizeof(unsigned long);
	}
	return 1;
}

/* With one, a probe is never replaced by a jump, which could not change where to go on. */
static void after(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probes[MOST_CALLS];
static int count;

static bool calls(const u8 *code)
{
	if (code[0] != CALL && code[0] != JUMP)
		return false;
	return code + SIZE + (s32)get_unaligned_le32(code + 1) == (const u8 *)cc_platform_has;
}

static void encrypted_exit(void)
{
	while (count)
		unregister_kprobe(&probes[--count]);
}

static int __init encrypted_init(void)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "sysgenid");
	const struct module_memory *text;

	if (!kobj)
		return -ENODEV;
	text = &container_of(kobj, struct module_kobject, kobj)->mod->mem[MOD_TEXT];
	/* Nobody unloads it meanwhile. */
	kobject_put(kobj);

	for (const u8 *code = text->base; code + SIZE <= (u8 *)text->base + text->size; code++) {
		int err;

		if (!calls(code))
			continue;
		if (count == MOST_CALLS) {
			encrypted_exit();
			return -E2BIG;
		}
		probes[count] = (struct kprobe) {
			.addr = (kprobe_opcode_t *)code,
			.pre_handler = answer,
			.post_handler = after,
		};
		err = register_kprobe(&probes[count]);
		if (err) {
			encrypted_exit();
			return err;
		}
		count++;
	}
	return 0;
}

module_init(encrypted_init);
module_exit(encrypted_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of guests with encrypted memory");
