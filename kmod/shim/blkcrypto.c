// SPDX-License-Identifier: GPL-2.0
/*
 * Encryption by who is below: a lower bio goes down with its data as it is, and
 * with a context of the kernel's inline encryption, which says the key and the
 * number of the first data unit. Hardware of the backing encrypts, or the
 * kernel's fallback does in its place, before the bio gets there.
 *
 * Why no task waits for itself:
 *
 * - A context is from a pool of the kernel that all who use inline encryption
 *   share; the fallback takes bios, pages and slots for keys from others. Each
 *   of them may put the task to sleep, whatever REQ_NOWAIT says. So only a task
 *   that may sleep below takes any, and everybody else leaves the bio to the
 *   volume's worker. Nothing is tried.
 * - A bio gets its context right before it is submitted. What waits for the
 *   worker has none, so all there are belong to tasks that are submitting, or
 *   are below, where they come back from without us.
 * - The pools have what they need if nobody who holds some of it comes for more.
 *   So of volumes over volumes, only the lowest may be encrypted so. Others who
 *   use inline encryption, above or between, are not seen: the manual says so.
 */
#include <linux/blk-crypto.h>
#include <linux/blk-crypto-profile.h>
#include <linux/slab.h>

#include "shim.h"
#include "trace.h"

/* Numbers of data units have 64 bits, as those of dm-crypt's plain64. */
#define STOR_DUN_BYTES sizeof(u64)

/**
 * struct stor_inline_key - a key for who is below
 * @key: the kernel's; only with BLK_CRYPTO_CFG_ALLOW_HW if hardware has it, so
 *	that who encrypts does not change while it is in use
 * @disk: that of the device below; a reference is held
 */
struct stor_inline_key {
	struct blk_crypto_key key;
	struct gendisk *disk;
};

/*
 * Whether hardware of a device can use a key. The kernel's own answer,
 * blk_crypto_config_supported_natively(), is not exported to modules. It says
 * nothing of splitting: below, a bio may be split at any logical block, and what
 * follows in a data unit that was split would get the number of the next.
 */
static bool stor_inline_has_hardware(struct block_device *bdev,
				     const struct blk_crypto_config *config)
{
	const struct blk_crypto_profile *profile;

	profile = bdev_get_queue(bdev)->crypto_profile;
	return profile &&
	       config->data_unit_size <= bdev_logical_block_size(bdev) &&
	       profile->max_dun_bytes_supported >= config->dun_bytes &&
	       profile->key_types_supported & config->key_type &&
	       profile->modes_supported[config->crypto_mode] &
	       config->data_unit_size;
}

/**
 * stor_shim_inline_new - prepare a key for who is below
 * @bdev: the device below
 * @bytes: the key
 * @len: its length
 * @sector: size of what is encrypted by itself, in bytes
 * @hardware: whether hardware may encrypt
 * @fallback: whether the kernel may, if hardware can or may not
 *
 * May sleep, and load modules.
 *
 * Return: the key or an ERR_PTR(): -EOPNOTSUPP if hardware can not, and there is
 * no fallback.
 */
struct stor_inline_key *stor_shim_inline_new(struct block_device *bdev,
					     const u8 *bytes, unsigned int len,
					     unsigned int sector, bool hardware,
					     bool fallback)
{
	struct stor_inline_key *inline_key;
	int flags = hardware ? BLK_CRYPTO_CFG_ALLOW_HW : 0;
	int err;

	inline_key = kzalloc_obj(*inline_key);
	if (!inline_key)
		return ERR_PTR(-ENOMEM);
again:
	err = blk_crypto_init_key(&inline_key->key, bytes, len,
				  BLK_CRYPTO_KEY_TYPE_RAW,
				  BLK_ENCRYPTION_MODE_AES_256_XTS,
				  STOR_DUN_BYTES, sector, flags);
	if (err)
		goto free;
	if (flags && !stor_inline_has_hardware(bdev,
					       &inline_key->key.crypto_cfg)) {
		err = -EOPNOTSUPP;
		if (!fallback)
			goto free;
		flags = 0;
		goto again;
	}
	err = blk_crypto_start_using_key(bdev, &inline_key->key);
	if (err == -ENOPKG)
		err = -EOPNOTSUPP;
	if (err)
		goto free;
	/* Its queue is there as long as it is, whoever has closed it. */
	inline_key->disk = bdev->bd_disk;
	get_device(disk_to_dev(inline_key->disk));
	return inline_key;
free:
	kfree_sensitive(inline_key);
	return ERR_PTR(err);
}

/**
 * stor_shim_inline_free - take a key away from the device, wipe and free it
 * @inline_key: the key; no I/O that uses it is left, nor who has submitted some
 *
 * May sleep.
 */
void stor_shim_inline_free(struct stor_inline_key *inline_key)
{
	struct gendisk *disk = inline_key->disk;

	blk_crypto_evict_key(disk->part0, &inline_key->key);
	kfree_sensitive(inline_key);
	put_device(disk_to_dev(disk));
}

bool stor_shim_inline_is_native(const struct stor_inline_key *inline_key)
{
	return inline_key->key.crypto_cfg.flags & BLK_CRYPTO_CFG_ALLOW_HW;
}

/**
 * stor_shim_inline_send - submit a lower bio whose data is encrypted below
 * @pdu: that of the request; its bio has data
 *
 * Context: process, as a task that may sleep below.
 */
void stor_shim_inline_send(struct stor_pdu *pdu)
{
	const u64 dun[BLK_CRYPTO_DUN_ARRAY_SIZE] = { pdu->dun };
	struct bio *bio = &pdu->bio;

	bio_crypt_set_ctx(bio, &pdu->inline_key->key, dun, GFP_NOIO);
	trace_stor_lower_submit(bio->bi_private, bio);
	if (__blk_crypto_submit_bio(bio))
		submit_bio_noacct(bio);
}

/**
 * stor_shim_inline_submit - the same, or leave it to who may sleep
 * @pdu: that of the request; its bio has data, and is not polled
 * @batch: the batch that it is in
 * @punt: the volume's worker
 *
 * Context: process.
 */
void stor_shim_inline_submit(struct stor_pdu *pdu, struct stor_batch *batch,
			     struct stor_punt *punt)
{
	const blk_opf_t nowait = pdu->bio.bi_opf & REQ_NOWAIT;

	if (batch->mode == STOR_SUBMIT_FREE &&
	    (!nowait || stor_shim_inline_is_native(pdu->inline_key))) {
		stor_shim_inline_send(pdu);
		return;
	}
	/* The worker may wait: nobody waits for it. */
	pdu->bio.bi_opf &= ~REQ_NOWAIT;
	pdu->opf &= ~REQ_NOWAIT;
	stor_shim_punt(pdu, pdu->inline_key, punt);
}
