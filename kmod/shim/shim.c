// SPDX-License-Identifier: GPL-2.0
/*
 * What the module needs of the kernel at large, as functions that Rust can
 * call. Here and in the other files of this folder, a function runs in process
 * context unless it says otherwise.
 */
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include "shim.h"

MODULE_VERSION(STOR_VERSION);

unsigned int stor_shim_num_online_cpus(void)
{
	return num_online_cpus();
}

unsigned int stor_shim_noio_save(void)
{
	return memalloc_noio_save();
}

void stor_shim_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

/**
 * stor_shim_wait_for_callers - wait for those on their last steps in our code
 *
 * Whoever drops the last reference to the module may still have a few
 * instructions of it to go, and be preempted there. To be called when nothing
 * can enter the module's code any more.
 */
void stor_shim_wait_for_callers(void)
{
	synchronize_rcu_tasks();
}
