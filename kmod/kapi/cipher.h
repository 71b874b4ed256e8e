/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AES-XTS by the kernel's crypto API.
 */
#ifndef _STOR_CIPHER_H
#define _STOR_CIPHER_H

#include <linux/types.h>

struct page;
struct stor_cipher;

/* Bytes that tell a key from another. */
#define STOR_PROOF_LEN 32

/* Most pieces of a sector. */
#define STOR_PIECES 8

/**
 * struct stor_piece - memory in one piece
 * @page: the page that it begins in
 * @offset: first byte, from the beginning of @page
 * @length: in bytes
 */
struct stor_piece {
	struct page *page;
	u32 offset;
	u32 length;
};

void stor_cipher_load(void);
struct stor_cipher *stor_cipher_new(const u8 *key, unsigned int len);
void stor_cipher_free(struct stor_cipher *cipher);
int stor_cipher_proof(const struct stor_cipher *cipher, u8 *proof);
const char *stor_cipher_driver(const struct stor_cipher *cipher);
bool stor_cipher_is_fast(const struct stor_cipher *cipher);
int stor_crypt_run(const struct stor_cipher *cipher,
		   const struct stor_piece *from, const struct stor_piece *to,
		   unsigned int sector, u64 tweak, u64 step, bool encrypt);
int stor_crypt_scattered(const struct stor_cipher *cipher,
			 const struct stor_piece *from, unsigned int n,
			 const struct stor_piece *to, unsigned int sector,
			 u64 tweak, bool encrypt);

#endif /* _STOR_CIPHER_H */
