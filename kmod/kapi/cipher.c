// SPDX-License-Identifier: GPL-2.0
/*
 * AES-XTS by the kernel's crypto API: a synchronous cipher, whose requests live
 * on the stack. The kernel's library has the same, but takes one block at a
 * time; here vector registers take many.
 */
#include <crypto/skcipher.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/simd.h>

#include "cipher.h"

/* Has the fast one, and is loaded by udev only if that runs. */
#define STOR_FAST_MODULE "aesni_intel"
MODULE_SOFTDEP("pre: " STOR_FAST_MODULE);

struct stor_cipher {
	struct crypto_sync_skcipher *tfm;
};

static const char *stor_tfm_driver(struct crypto_sync_skcipher *tfm)
{
	return crypto_tfm_alg_driver_name(crypto_sync_skcipher_tfm(tfm));
}

/* Whether it is not composed of a mode and a cipher for single blocks. */
static bool stor_tfm_is_fast(struct crypto_sync_skcipher *tfm)
{
	return strncmp(stor_tfm_driver(tfm), "xts(", 4);
}

/**
 * stor_cipher_load - load what has the fast cipher
 *
 * Not when a volume is made: netlink waits meanwhile.
 */
void stor_cipher_load(void)
{
	if (IS_ENABLED(CONFIG_X86))
		request_module(STOR_FAST_MODULE);
}

/**
 * stor_cipher_new - prepare AES-XTS with a key
 * @key: the key, of data and of tweak
 * @len: length of @key in bytes
 *
 * Return: the cipher or an ERR_PTR().
 */
struct stor_cipher *stor_cipher_new(const u8 *key, unsigned int len)
{
	struct crypto_sync_skcipher *tfm;
	struct stor_cipher *cipher;
	int err;

	tfm = crypto_alloc_sync_skcipher("xts(aes)", 0,
					 CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(tfm))
		return ERR_CAST(tfm);
	cipher = kzalloc_obj(*cipher);
	err = -ENOMEM;
	if (!cipher)
		goto free;
	cipher->tfm = tfm;
	crypto_sync_skcipher_set_flags(tfm, CRYPTO_TFM_REQ_FORBID_WEAK_KEYS);
	err = crypto_sync_skcipher_setkey(tfm, key, len);
	if (err)
		goto free;
	return cipher;
free:
	kfree(cipher);
	crypto_free_sync_skcipher(tfm);
	return ERR_PTR(err);
}

/**
 * stor_cipher_free - forget a cipher, and wipe its key
 * @cipher: the cipher; nobody uses it any more
 */
void stor_cipher_free(struct stor_cipher *cipher)
{
	crypto_free_sync_skcipher(cipher->tfm);
	kfree(cipher);
}

/**
 * stor_cipher_driver - the name of the implementation
 * @cipher: the cipher
 *
 * Return: a string that is there as long as @cipher.
 */
const char *stor_cipher_driver(const struct stor_cipher *cipher)
{
	return stor_tfm_driver(cipher->tfm);
}

bool stor_cipher_is_fast(const struct stor_cipher *cipher)
{
	return stor_tfm_is_fast(cipher->tfm);
}

/*
 * A request with room for what its cipher needs. On the stack it is not cleared
 * for nothing, as the compiler does by default: what is looked at is set.
 */
union stor_request {
	struct skcipher_request req;
	char memory[sizeof(struct skcipher_request) +
		    MAX_SYNC_SKCIPHER_REQSIZE] CRYPTO_MINALIGN_ATTR;
};

/* Where vector registers may not be used there is no fast way. */
static void stor_assert_simd(void)
{
	if (IS_ENABLED(CONFIG_PROVE_LOCKING))
		WARN_ON_ONCE(!may_use_simd());
}

/* Encrypts or decrypts one sector with what @req and @iv say. */
static int stor_crypt(struct skcipher_request *req, __le64 iv[2], u64 tweak,
		      bool encrypt)
{
	iv[0] = cpu_to_le64(tweak);
	iv[1] = 0;
	return encrypt ? crypto_skcipher_encrypt(req) :
		      crypto_skcipher_decrypt(req);
}

/**
 * stor_cipher_proof - get what tells a key from another, and nothing else
 * @cipher: the cipher, with its key
 * @proof: STOR_PROOF_LEN bytes, not on the stack
 *
 * It is what zeros are encrypted to, with a tweak that no sector has: those of
 * sectors have zeros in their second half.
 *
 * Context: process.
 * Return: 0 or what the cipher says.
 */
int stor_cipher_proof(const struct stor_cipher *cipher, u8 *proof)
{
	union stor_request request __uninitialized;
	struct skcipher_request *req = &request.req;
	struct scatterlist sg;
	__le64 iv[2];

	memset(proof, 0, STOR_PROOF_LEN);
	sg_init_one(&sg, proof, STOR_PROOF_LEN);
	skcipher_request_set_sync_tfm(req, cipher->tfm);
	skcipher_request_set_callback(req, 0, NULL, NULL);
	skcipher_request_set_crypt(req, &sg, &sg, STOR_PROOF_LEN, iv);
	iv[0] = 0;
	iv[1] = cpu_to_le64(U64_MAX);
	return crypto_skcipher_encrypt(req);
}

/**
 * stor_crypt_run - encrypt or decrypt sectors that lie one after the other
 * @cipher: the cipher
 * @from: what is encrypted or decrypted: @sectors sectors
 * @to: where to; NULL for in place
 * @sector: size of a sector in bytes, a power of two
 * @tweak: that of the first one
 * @step: from one to the next
 * @encrypt: encrypt; else decrypt
 *
 * Context: process or softirq, with interrupts on.
 * Return: 0 or what the cipher says.
 */
int stor_crypt_run(const struct stor_cipher *cipher,
		   const struct stor_piece *from, const struct stor_piece *to,
		   unsigned int sector, u64 tweak, u64 step, bool encrypt)
{
	union stor_request request __uninitialized;
	struct skcipher_request *req = &request.req;
	struct scatterlist src, dst, *out = to ? &dst : &src;
	unsigned int n = from->length >> __ffs(sector);
	__le64 iv[2];
	int err;

	stor_assert_simd();
	sg_init_table(&src, 1);
	sg_set_page(&src, from->page, sector, from->offset);
	if (to) {
		sg_init_table(&dst, 1);
		sg_set_page(&dst, to->page, sector, to->offset);
	}
	skcipher_request_set_sync_tfm(req, cipher->tfm);
	skcipher_request_set_callback(req, 0, NULL, NULL);
	skcipher_request_set_crypt(req, &src, out, sector, iv);
	for (;;) {
		err = stor_crypt(req, iv, tweak, encrypt);
		if (err || !--n)
			return err;
		tweak += step;
		src.offset += sector;
		if (to)
			dst.offset += sector;
	}
}

static void stor_sg_fill(struct scatterlist *sg,
			 const struct stor_piece *pieces, unsigned int n)
{
	unsigned int i;

	sg_init_table(sg, n);
	for (i = 0; i < n; i++)
		sg_set_page(&sg[i], pieces[i].page, pieces[i].length,
			    pieces[i].offset);
}

/**
 * stor_crypt_scattered - encrypt or decrypt one sector that lies in several pieces
 * @cipher: the cipher
 * @from: the pieces
 * @n: how many, at most STOR_PIECES
 * @to: where to, in one piece; NULL for in place
 * @sector: size of a sector in bytes
 * @tweak: its tweak
 * @encrypt: encrypt; else decrypt
 *
 * Context: process or softirq, with interrupts on.
 * Return: 0 or what the cipher says.
 */
int stor_crypt_scattered(const struct stor_cipher *cipher,
			 const struct stor_piece *from, unsigned int n,
			 const struct stor_piece *to, unsigned int sector,
			 u64 tweak, bool encrypt)
{
	union stor_request request __uninitialized;
	struct skcipher_request *req = &request.req;
	struct scatterlist src[STOR_PIECES], dst;
	__le64 iv[2];

	stor_assert_simd();
	stor_sg_fill(src, from, n);
	if (to)
		stor_sg_fill(&dst, to, 1);
	skcipher_request_set_sync_tfm(req, cipher->tfm);
	skcipher_request_set_callback(req, 0, NULL, NULL);
	skcipher_request_set_crypt(req, src, to ? &dst : src, sector, iv);
	return stor_crypt(req, iv, tweak, encrypt);
}
