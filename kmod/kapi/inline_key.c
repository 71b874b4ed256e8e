// SPDX-License-Identifier: GPL-2.0
/*
 * Keys for inline encryption: by hardware of a device, or by the kernel's fallback
 * in its place.
 */
#include <linux/blk-crypto-profile.h>
#include <linux/slab.h>

#include "inline_key.h"

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
 * stor_inline_new - prepare a key for inline encryption
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
struct stor_inline_key *stor_inline_new(struct block_device *bdev,
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
 * stor_inline_free - take a key away from the device, wipe and free it
 * @inline_key: the key; no I/O that uses it is left, nor who has submitted some
 *
 * May sleep.
 */
void stor_inline_free(struct stor_inline_key *inline_key)
{
	struct gendisk *disk = inline_key->disk;

	blk_crypto_evict_key(disk->part0, &inline_key->key);
	kfree_sensitive(inline_key);
	put_device(disk_to_dev(disk));
}

bool stor_inline_is_native(const struct stor_inline_key *inline_key)
{
	return inline_key->key.crypto_cfg.flags & BLK_CRYPTO_CFG_ALLOW_HW;
}
