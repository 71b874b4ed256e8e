// SPDX-License-Identifier: GPL-2.0
/*
 * What AES-XTS costs by itself: the crypto API's cipher, on as many bytes as an
 * I/O has, sector by sector, and nothing else.
 *
 * measure.py loads it into a VM whose clock counts instructions, and reads the
 * figure, the parameter "cost".
 */
#include <crypto/skcipher.h>
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/scatterlist.h>

/* What disturbs makes a round longer: the shortest one counts. */
#define ROUNDS 16
/* Bytes of a round at least, so that reading the clock does not count. */
#define ROUND_BYTES (256 << 10)
#define KEY_BYTES 64

static unsigned int sector = 4096;
module_param(sector, uint, 0444);
MODULE_PARM_DESC(sector, "size of a sector in bytes");

static unsigned int bytes = 4096;
module_param(bytes, uint, 0444);
MODULE_PARM_DESC(bytes, "size of an I/O in bytes, a multiple of sector");

static bool seal;
module_param(seal, bool, 0444);
MODULE_PARM_DESC(seal, "encrypt into other memory; else decrypt in place");

static unsigned long cost;
module_param(cost, ulong, 0444);
MODULE_PARM_DESC(cost, "what came of it: nanoseconds of an I/O");

/* One I/O. */
static int once(struct crypto_sync_skcipher *tfm, struct page *from,
		struct page *to)
{
	SYNC_SKCIPHER_REQUEST_ON_STACK(req, tfm);
	struct scatterlist src, dst;
	__le64 iv[2] = { };
	unsigned int at;
	int err;

	sg_init_table(&src, 1);
	sg_set_page(&src, from, sector, 0);
	sg_init_table(&dst, 1);
	sg_set_page(&dst, to, sector, 0);
	skcipher_request_set_sync_tfm(req, tfm);
	skcipher_request_set_callback(req, 0, NULL, NULL);
	skcipher_request_set_crypt(req, &src, from == to ? &src : &dst, sector,
				   iv);
	for (at = 0; at < bytes; at += sector) {
		iv[0] = cpu_to_le64(at / sector);
		iv[1] = 0;
		src.offset = at;
		dst.offset = at;
		err = seal ? crypto_skcipher_encrypt(req) :
			     crypto_skcipher_decrypt(req);
		if (err)
			return err;
	}
	return 0;
}

static int rounds(struct crypto_sync_skcipher *tfm, struct page *from,
		  struct page *to)
{
	unsigned int times = max(ROUND_BYTES / bytes, 1U);
	u64 best = U64_MAX;
	unsigned int i, j;
	int err;

	for (i = 0; i < ROUNDS; i++) {
		u64 since = ktime_get_ns();

		for (j = 0; j < times; j++) {
			err = once(tfm, from, to);
			if (err)
				return err;
		}
		best = min(best, ktime_get_ns() - since);
	}
	cost = div_u64(best, times);
	return 0;
}

static int __init cipher_init(void)
{
	struct crypto_sync_skcipher *tfm;
	struct page *from, *to;
	u8 key[KEY_BYTES];
	unsigned int i;
	int err;

	if (!sector || !bytes || bytes % sector)
		return -EINVAL;
	for (i = 0; i < KEY_BYTES; i++)
		key[i] = i + 1;
	tfm = crypto_alloc_sync_skcipher("xts(aes)", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = crypto_sync_skcipher_setkey(tfm, key, sizeof(key));
	if (err)
		goto free_tfm;
	err = -ENOMEM;
	from = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(bytes));
	if (!from)
		goto free_tfm;
	to = from;
	if (seal)
		to = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(bytes));
	if (!to)
		goto free_from;
	err = rounds(tfm, from, to);
	if (to != from)
		__free_pages(to, get_order(bytes));
free_from:
	__free_pages(from, get_order(bytes));
free_tfm:
	crypto_free_sync_skcipher(tfm);
	return err;
}
module_init(cipher_init);

static void __exit cipher_exit(void)
{
}
module_exit(cipher_exit);

MODULE_DESCRIPTION("the cost of AES-XTS by itself");
MODULE_LICENSE("GPL");
