// SPDX-License-Identifier: GPL-2.0
/*
 * What a clone draws first, on each processor and by each route from the random
 * number generator to a program:
 *
 *   fresh device     once /dev/sysgenid has told of a new generation: processor
 *                    0 sees that the hardware ID has changed, and asks, so do
 *                    others with an even number; the rest wait for the first
 *                    word of the mapped page to change
 *   fresh id PADDR   once the hardware ID at that address has changed, in a
 *                    machine in which no driver tells of it
 *
 * Prints "fresh: ready" when it waits, then "fresh: CPU ROUTE VALUE" for each of
 * them, and "fresh: done". Waits busily, so that nothing comes between the
 * change and the first draw. Its lines are fit for /dev/kmsg, which nobody has
 * to run a program in the clone to read.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/filter.h>
#include <linux/random.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#include <sysgenid.h>

#define MAX_CPUS	8
#define SIZE		16
#define PORTS		3
#define LENGTHS		4
#define MOST_LENGTH	0x8000

/* A state as each thread has one, with which to go on without system calls. */
struct state {
	void *memory;
	size_t size;
};

/* Who draws on one processor. */
struct cpu {
	long number;
	pthread_t plain, sealed;
	sem_t go;
	struct state state;
	int urandom, random, uuid, boot_id, filtered[2];
	char *text;
	size_t length;
	FILE *out;
};

static struct cpu cpus[MAX_CPUS];
static pthread_barrier_t ready;
static struct sysgenid sg;
static const __u64 *live;
static __u64 id_before[2];
static __u32 generation_before;

/* getauxval() is declared along with other names for what is in linux/elf.h. */
static unsigned long auxiliary(unsigned long type)
{
	unsigned long entry[2] = {};
	FILE *f = fopen("/proc/self/auxv", "rb");

	if (!f)
		err(EXIT_FAILURE, "/proc/self/auxv");
	do {
		if (fread(entry, sizeof(entry), 1, f) != 1)
			errx(EXIT_FAILURE, "no entry %lu in /proc/self/auxv", type);
	} while (entry[0] != type);
	fclose(f);
	return entry[1];
}

typedef ssize_t (*getrandom_fn)(void *bytes, size_t size, unsigned int flags, void *state,
				size_t state_size);

/* The C library's getrandom() is the system call in statically linked programs. */
static getrandom_fn vdso_getrandom;

static getrandom_fn find_vdso_getrandom(void)
{
	unsigned long base = auxiliary(AT_SYSINFO_EHDR);
	const struct elf64_hdr *header = (const void *)base;
	const struct elf64_phdr *segments = (const void *)(base + header->e_phoff);
	const unsigned long *tag = NULL;
	const struct elf64_sym *symbols = NULL;
	const char *names = NULL;
	const __u32 *hash = NULL;

	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_DYNAMIC)
			tag = (const void *)(base + segments[i].p_offset);
	for (; tag && tag[0] != DT_NULL; tag += 2) {
		const void *address = (const void *)(base + tag[1]);

		if (tag[0] == DT_SYMTAB)
			symbols = address;
		else if (tag[0] == DT_STRTAB)
			names = address;
		else if (tag[0] == DT_HASH)
			hash = address;
	}
	/* The second word of the hash table is the number of symbols. */
	for (__u32 i = 0; symbols && names && hash && i < hash[1]; i++)
		if (!strcmp(names + symbols[i].st_name, "__vdso_getrandom"))
			return (getrandom_fn)(base + symbols[i].st_value);
	errx(EXIT_FAILURE, "no getrandom() in the vDSO");
}

static struct state new_state(void)
{
	struct vgetrandom_opaque_params params;
	struct state state;

	if (vdso_getrandom(NULL, 0, 0, &params, ~0UL))
		errx(EXIT_FAILURE, "the vDSO tells nothing of states");
	state.size = params.size_of_opaque_state;
	state.memory = mmap(NULL, state.size, params.mmap_prot, params.mmap_flags, -1, 0);
	if (state.memory == MAP_FAILED)
		err(EXIT_FAILURE, "a state for the vDSO");
	return state;
}

/* Returns what a system call would that fails, if the vDSO has to make one. */
static ssize_t draw_in_vdso(const struct state *state, unsigned char *bytes)
{
	return vdso_getrandom(bytes, SIZE, 0, state->memory, state->size);
}

static void open_report(struct cpu *cpu)
{
	cpu->out = open_memstream(&cpu->text, &cpu->length);
	if (!cpu->out)
		err(EXIT_FAILURE, "open_memstream");
}

static void report_bytes(struct cpu *cpu, const char *route, const unsigned char *bytes)
{
	fprintf(cpu->out, "%ld %s ", cpu->number, route);
	for (int i = 0; i < SIZE; i++)
		fprintf(cpu->out, "%02x", bytes[i]);
	fprintf(cpu->out, "\n");
}

static void report_file(struct cpu *cpu, const char *route, int fd)
{
	unsigned char bytes[SIZE];

	if (read(fd, bytes, SIZE) != SIZE)
		err(EXIT_FAILURE, "%s", route);
	report_bytes(cpu, route, bytes);
}

/* Of files of /proc, which have the line at offset 0 again and again. */
static void report_line(struct cpu *cpu, const char *route, int fd)
{
	char line[64];
	ssize_t length = pread(fd, line, sizeof(line), 0);

	if (length <= 0)
		err(EXIT_FAILURE, "%s", route);
	fprintf(cpu->out, "%ld %s %.*s", cpu->number, route, (int)length, line);
}

/* Without a look at the kernel: what a process finds when it begins. */
static int born(void)
{
	const unsigned char *bytes = (const unsigned char *)auxiliary(AT_RANDOM);
	void *mapped = mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	printf("at_random ");
	for (int i = 0; i < SIZE; i++)
		printf("%02x", bytes[i]);
	printf("\nmmap %p\nstack %p\n", mapped, bytes);
	return EXIT_SUCCESS;
}

/* The processor is inherited, and that the new process has no other. */
static void report_process(struct cpu *cpu)
{
	static const char * const arguments[] = { "fresh", "born", NULL };
	posix_spawn_file_actions_t actions;
	char route[16], value[64];
	int fds[2], status;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC))
		err(EXIT_FAILURE, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL,
			    (char * const *)arguments, environ);
	if (errno)
		err(EXIT_FAILURE, "posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);

	f = fdopen(fds[0], "r");
	if (!f)
		err(EXIT_FAILURE, "fdopen");
	while (fscanf(f, "%15s %63s", route, value) == 2)
		fprintf(cpu->out, "%ld %s %s\n", cpu->number, route, value);
	fclose(f);
	if (waitpid(pid, &status, 0) != pid || status)
		errx(EXIT_FAILURE, "a new process fails");
}

/* The kernel takes a free port by get_random_u32(), which has a batch. */
static void report_ports(struct cpu *cpu)
{
	fprintf(cpu->out, "%ld port ", cpu->number);
	for (int i = 0; i < PORTS; i++) {
		struct sockaddr_in address = { .sin_family = AF_INET };
		socklen_t size = sizeof(address);
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) ||
		    getsockname(fd, (struct sockaddr *)&address, &size))
			err(EXIT_FAILURE, "a port");
		fprintf(cpu->out, "%04x", ntohs(address.sin_port));
		close(fd);
	}
	fprintf(cpu->out, "\n");
}

/* A filter that cuts messages to a length by bpf_get_prandom_u32(). */
static void open_filtered(struct cpu *cpu)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, MOST_LENGTH - 1),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, cpu->filtered) ||
	    setsockopt(cpu->filtered[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		err(EXIT_FAILURE, "a socket with a filter");
}

static void report_lengths(struct cpu *cpu)
{
	static const char message[MOST_LENGTH];

	fprintf(cpu->out, "%ld bpf ", cpu->number);
	for (int i = 0; i < LENGTHS; i++) {
		char received[MOST_LENGTH];
		ssize_t length;

		if (send(cpu->filtered[0], message, sizeof(message), 0) != sizeof(message))
			err(EXIT_FAILURE, "send");
		length = recv(cpu->filtered[1], received, sizeof(received), 0);
		if (length < 0)
			err(EXIT_FAILURE, "recv");
		fprintf(cpu->out, "%04zx", (size_t)length);
	}
	fprintf(cpu->out, "\n");
}

static void draw(struct cpu *cpu)
{
	unsigned char bytes[SIZE];

	if (draw_in_vdso(&cpu->state, bytes) != SIZE)
		errx(EXIT_FAILURE, "the vDSO fails");
	report_bytes(cpu, "vdso", bytes);
	if (syscall(SYS_getrandom, bytes, SIZE, 0) != SIZE)
		err(EXIT_FAILURE, "getrandom");
	report_bytes(cpu, "syscall", bytes);
	report_file(cpu, "urandom", cpu->urandom);
	report_file(cpu, "random", cpu->random);
	report_line(cpu, "uuid", cpu->uuid);
	arc4random_buf(bytes, SIZE);
	report_bytes(cpu, "arc4random", bytes);
	report_ports(cpu);
	report_process(cpu);
	report_line(cpu, "boot_id", cpu->boot_id);
	report_lengths(cpu);
}

/* No system call getrandom() for this thread any more. */
static void seal(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		err(EXIT_FAILURE, "seccomp");
}

static struct state seal_with_state(void)
{
	struct state state = new_state();
	unsigned char bytes[SIZE];

	if (draw_in_vdso(&state, bytes) != SIZE)
		errx(EXIT_FAILURE, "the vDSO fails");
	seal();
	if (syscall(SYS_getrandom, bytes, SIZE, 0) != -1 || errno != EPERM)
		errx(EXIT_FAILURE, "the filter lets getrandom() through");
	return state;
}

/* Whether the vDSO has bytes without a system call. */
static bool has_bytes(const struct state *state, unsigned char *bytes)
{
	ssize_t size = draw_in_vdso(state, bytes);

	if (size != SIZE && size != -EPERM)
		errx(EXIT_FAILURE, "the vDSO fails");
	return size == SIZE;
}

/*
 * Lets the kernel's own reseeding pass, whose next one is then as far away as
 * can be: a state of the vDSO lasts until then.
 */
static void *let_reseed_pass(void *argument)
{
	struct state state = seal_with_state();
	unsigned char bytes[SIZE];

	while (has_bytes(&state, bytes))
		usleep(1000);
	return argument;
}

/* Has but what the vDSO knew before the change. */
static void *run_sealed(void *argument)
{
	struct state state = seal_with_state();
	struct cpu *cpu = argument;
	unsigned char bytes[SIZE];

	if (!has_bytes(&state, bytes))
		errx(EXIT_FAILURE, "the vDSO makes a system call each time");
	pthread_barrier_wait(&ready);
	sem_wait(&cpu->go);
	if (has_bytes(&state, bytes))
		report_bytes(cpu, "sealed", bytes);
	else
		fprintf(cpu->out, "%ld sealed EPERM\n", cpu->number);
	return NULL;
}

static void wait_for_id(void)
{
	while (__atomic_load_n(&live[0], __ATOMIC_ACQUIRE) == id_before[0] &&
	       __atomic_load_n(&live[1], __ATOMIC_ACQUIRE) == id_before[1])
		;
}

static void wait_for_word(void)
{
	while (__atomic_load_n(&sg.page->generation, __ATOMIC_ACQUIRE) == generation_before)
		;
}

static void wait_for_change(const struct cpu *cpu)
{
	__u32 generation;

	if (sg.page && cpu->number % 2) {
		wait_for_word();
		return;
	}
	wait_for_id();
	if (sg.page && (sysgenid_current(&sg, &generation) || generation == generation_before))
		errx(EXIT_FAILURE, "the device does not tell of a new generation");
}

static void *run_plain(void *argument)
{
	struct cpu *cpu = argument;

	open_report(cpu);
	/* So that all that is kept for later has been made. */
	draw(cpu);
	fclose(cpu->out);
	free(cpu->text);
	open_report(cpu);
	pthread_barrier_wait(&ready);
	wait_for_change(cpu);
	draw(cpu);
	sem_post(&cpu->go);
	return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *), struct cpu *cpu)
{
	pthread_attr_t attr;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu->number, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	errno = pthread_create(thread, &attr, run, cpu);
	if (errno)
		err(EXIT_FAILURE, "pthread_create");
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "%s", path);
	return fd;
}

static void watch_device(void)
{
	errno = -sysgenid_open(&sg);
	if (errno || !sg.live)
		err(EXIT_FAILURE, "/dev/sysgenid");
	live = sg.live;
	errno = -sysgenid_current(&sg, &generation_before);
	if (errno)
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
}

static void watch_id(unsigned long address)
{
	unsigned long page_size = sysconf(_SC_PAGESIZE), offset = address % page_size;
	const char *page = mmap(NULL, page_size, PROT_READ, MAP_SHARED,
				open_file("/dev/mem"), address - offset);

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/mem");
	live = (const __u64 *)(page + offset);
}

int main(int argc, char **argv)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t waiting;

	if (argc == 2 && !strcmp(argv[1], "born"))
		return born();
	if (argc == 2 && !strcmp(argv[1], "device"))
		watch_device();
	else if (argc == 3 && !strcmp(argv[1], "id"))
		watch_id(strtoul(argv[2], NULL, 0));
	else
		errx(EXIT_FAILURE, "usage: fresh device | fresh id PADDR");
	memcpy(id_before, live, sizeof(id_before));
	if (count > MAX_CPUS)
		errx(EXIT_FAILURE, "at most %d processors", MAX_CPUS);

	setlinebuf(stdout);
	vdso_getrandom = find_vdso_getrandom();
	errno = pthread_create(&waiting, NULL, let_reseed_pass, NULL);
	if (errno)
		err(EXIT_FAILURE, "pthread_create");
	pthread_join(waiting, NULL);

	pthread_barrier_init(&ready, NULL, 2 * count + 1);
	for (struct cpu *cpu = cpus; cpu < cpus + count; cpu++) {
		cpu->number = cpu - cpus;
		sem_init(&cpu->go, 0, 0);
		cpu->state = new_state();
		cpu->urandom = open_file("/dev/urandom");
		cpu->random = open_file("/dev/random");
		cpu->uuid = open_file("/proc/sys/kernel/random/uuid");
		cpu->boot_id = open_file("/proc/sys/kernel/random/boot_id");
		open_filtered(cpu);
		start(&cpu->plain, run_plain, cpu);
		start(&cpu->sealed, run_sealed, cpu);
	}
	pthread_barrier_wait(&ready);
	puts("fresh: ready");

	for (struct cpu *cpu = cpus; cpu < cpus + count; cpu++) {
		pthread_join(cpu->plain, NULL);
		pthread_join(cpu->sealed, NULL);
		fclose(cpu->out);
		for (char *line = strtok(cpu->text, "\n"); line; line = strtok(NULL, "\n"))
			printf("fresh: %s\n", line);
	}
	puts("fresh: done");
	return EXIT_SUCCESS;
}
