/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys out of the kernel's keyrings.
 */
#ifndef _STOR_KEY_H
#define _STOR_KEY_H

#include <linux/types.h>

/* Types of keys; Rust has the same. */
enum stor_key_type {
	STOR_KEY_LOGON,
	STOR_KEY_USER,
	STOR_KEY_ENCRYPTED,
	STOR_KEY_TRUSTED,
};

ssize_t stor_key_read(enum stor_key_type type, const char *description, u8 *buf,
		      size_t max);
void stor_wipe(void *secret, size_t len);

#endif /* _STOR_KEY_H */
