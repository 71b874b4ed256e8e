/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the data of reads is decrypted.
 */
#ifndef _STOR_SOFTIRQ_H
#define _STOR_SOFTIRQ_H

#include <linux/types.h>

struct stor_io;
struct stor_softirq_cpu;
struct workqueue_struct;

/**
 * struct stor_softirq - reads that can not be decrypted where they have ended
 * @cpu: those of each CPU
 * @wq: where those go on for which there is no time in a softirq
 */
struct stor_softirq {
	struct stor_softirq_cpu __percpu *cpu;
	struct workqueue_struct *wq;
};

/**
 * enum stor_where - where a read is to be decrypted
 * @STOR_HERE: in this context
 * @STOR_IN_SOFTIRQ: in a softirq of this CPU
 * @STOR_IN_WORKER: in a worker of this CPU
 */
enum stor_where {
	STOR_HERE,
	STOR_IN_SOFTIRQ,
	STOR_IN_WORKER,
};

int stor_softirq_init(struct stor_softirq *softirq);
void stor_softirq_exit(struct stor_softirq *softirq);
enum stor_where stor_softirq_where(struct stor_softirq *softirq);
void stor_softirq_later(struct stor_softirq *softirq, struct stor_io *io,
			enum stor_where where);
void stor_softirq_spent(struct stor_softirq *softirq, u64 ns);

/**
 * stor_io_decrypt - decrypt a read and end it; defined in Rust
 * @io: the read
 *
 * Context: process or softirq, with interrupts on.
 */
void stor_io_decrypt(struct stor_io *io);

#endif /* _STOR_SOFTIRQ_H */
