// SPDX-License-Identifier: GPL-2.0
/*
 * Keys for inline encryption: by hardware of a device, or by the kernel's fallback
 * in its place.
 */
#include <linux/blk-crypto-profile.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "inline_key.h"
#include "open.h"

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
 * @backing: the device below; its opener has a reference to the module
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
struct stor_inline_key *stor_inline_new(struct stor_bdev *backing,
					const u8 *bytes, unsigned int len,
					unsigned int sector, bool hardware,
					bool fallback)
{
	struct block_device *bdev = stor_bdev_get(backing);
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
	inline_key->backing = stor_bdev_file(backing);
	__module_get(THIS_MODULE);
	return inline_key;
free:
	kfree_sensitive(inline_key);
	return ERR_PTR(err);
}

static void stor_inline_put(struct stor_inline_key *inline_key)
{
	if (refcount_dec_and_test(&inline_key->users))
		kfree(inline_key);
}

static void stor_inline_evict_work(struct work_struct *work)
{
	struct stor_inline_key *inline_key =
		container_of(work, struct stor_inline_key, work);

	blk_crypto_evict_key(file_bdev(inline_key->backing), &inline_key->key);
	memzero_explicit(&inline_key->key, sizeof(inline_key->key));
	/* If this is the last reference it closes the device, which may wait. */
	__fput_sync(inline_key->backing);
	/* Who is told may unload the module at once. */
	module_put(THIS_MODULE);
	complete_all(&inline_key->done);
	stor_inline_put(inline_key);
}

/**
 * stor_inline_free - take a key away from the device, wipe and free it
 * @inline_key: the key; no I/O that uses it is left, nor who has submitted some
 * @patience: for how long to wait, in ms
 *
 * Hardware may have to be woken up for that, or not answer, and commands come here
 * with locks of generic netlink held; so a worker does it. The device stays open
 * until it has: it is by opening that users of a device keep what its driver needs
 * for keys. If it is not done in time, or the task is killed, that comes later.
 *
 * Context: process.
 */
void stor_inline_free(struct stor_inline_key *inline_key,
		      unsigned int patience)
{
	unsigned long limit = msecs_to_jiffies(patience);
	dev_t dev = file_bdev(inline_key->backing)->bd_dev;

	INIT_WORK(&inline_key->work, stor_inline_evict_work);
	init_completion(&inline_key->done);
	refcount_set(&inline_key->users, 2);
	queue_work(system_dfl_long_wq, &inline_key->work);
	if (wait_for_completion_killable_timeout(&inline_key->done, limit) <= 0)
		pr_warn("stor: backing %u:%u still has a key, which is wiped later\n",
			MAJOR(dev), MINOR(dev));
	stor_inline_put(inline_key);
}

bool stor_inline_is_native(const struct stor_inline_key *inline_key)
{
	return inline_key->key.crypto_cfg.flags & BLK_CRYPTO_CFG_ALLOW_HW;
}
