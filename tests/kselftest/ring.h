/* SPDX-License-Identifier: GPL-2.0 */
/* Just as much of io_uring as one request at a time wants. */
#ifndef RING_H
#define RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
	int fd;
	struct io_uring_params params;
	char *queues;
	struct io_uring_sqe *sqes;
};

/* False, with errno set, if there is no io_uring. */
static inline bool ring_init(struct ring *ring)
{
	struct io_uring_params *params = &ring->params;
	const int prot = PROT_READ | PROT_WRITE;

	memset(params, 0, sizeof(*params));
	ring->fd = syscall(SYS_io_uring_setup, 1, params);
	if (ring->fd < 0 || !(params->features & IORING_FEAT_SINGLE_MMAP))
		return false;
	ring->queues = mmap(NULL, 4 * sysconf(_SC_PAGESIZE), prot, MAP_SHARED, ring->fd,
			    IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, sizeof(*ring->sqes), prot, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	return ring->queues != MAP_FAILED && ring->sqes != MAP_FAILED;
}

static inline __u32 *ring_word(struct ring *ring, __u32 offset)
{
	return (__u32 *)(ring->queues + offset);
}

/* Submits a request, and waits until so many have been completed. */
static inline bool ring_submit(struct ring *ring, const struct io_uring_sqe *sqe,
			       unsigned int completed)
{
	__u32 *tail = ring_word(ring, ring->params.sq_off.tail);

	ring->sqes[0] = *sqe;
	*ring_word(ring, ring->params.sq_off.array) = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring->fd, 1, completed,
		       completed ? IORING_ENTER_GETEVENTS : 0, NULL, 0) == 1;
}

/* What a request has given that has been completed. */
static inline int ring_result(struct ring *ring)
{
	__u32 *head = ring_word(ring, ring->params.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(ring->queues + ring->params.cq_off.cqes);
	int ret = cqes[*head & *ring_word(ring, ring->params.cq_off.ring_mask)].res;

	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return ret;
}

#endif /* RING_H */
