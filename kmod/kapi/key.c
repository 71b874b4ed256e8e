// SPDX-License-Identifier: GPL-2.0
/*
 * Keys of volumes, from the keyrings of the task that asks for a volume.
 *
 * Commands come with locks of generic netlink held, so nothing here waits for those
 * who make or change keys. request_key() does: until a program has made a key that
 * somebody asked for. And a key is changed with its semaphore held, by a TPM if need
 * be. So keyrings are searched by themselves, and what a key holds is read under
 * RCU: all types here replace it whole, and free what was before after a grace
 * period.
 */
#include <keys/encrypted-type.h>
#include <keys/trusted-type.h>
#include <keys/user-type.h>
#include <linux/key.h>
#include <linux/keyctl.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "key.h"

struct stor_payload {
	const void *data;
	size_t len;
};

/* Under RCU. */
static struct stor_payload stor_payload_of(const struct key *key,
					   enum stor_key_type type)
{
	struct stor_payload payload = { };

	switch (type) {
	case STOR_KEY_LOGON:
	case STOR_KEY_USER: {
		const struct user_key_payload *user;

		user = user_key_payload_rcu(key);
		if (user)
			payload = (struct stor_payload){ user->data,
							 user->datalen };
		break;
	}
	case STOR_KEY_ENCRYPTED: {
		const struct encrypted_key_payload *encrypted;

		encrypted = dereference_key_rcu(key);
		if (encrypted)
			payload = (struct stor_payload){
				encrypted->decrypted_data,
				encrypted->decrypted_datalen };
		break;
	}
	case STOR_KEY_TRUSTED: {
		const struct trusted_key_payload *trusted;

		trusted = dereference_key_rcu(key);
		if (trusted)
			payload = (struct stor_payload){ trusted->key,
							 trusted->key_len };
		break;
	}
	}
	return payload;
}

/* Two types may be modules; without the module there is no such key. */
static struct key_type *stor_key_type_get(enum stor_key_type type)
{
	switch (type) {
	case STOR_KEY_LOGON:
		return &key_type_logon;
	case STOR_KEY_USER:
		return &key_type_user;
	case STOR_KEY_ENCRYPTED:
		return symbol_get(key_type_encrypted);
	case STOR_KEY_TRUSTED:
		return symbol_get(key_type_trusted);
	}
	return NULL;
}

static void stor_key_type_put(enum stor_key_type type)
{
	if (type == STOR_KEY_ENCRYPTED)
		symbol_put(key_type_encrypted);
	else if (type == STOR_KEY_TRUSTED)
		symbol_put(key_type_trusted);
}

/*
 * Searches where request_key() does, in the same order, and gives the key that it
 * would. (A task that was started to make a key has another's keyrings, too; those
 * are left out.) Of keys of no use the first decides why there is none, wherever
 * it is.
 */
static struct key *stor_key_search(struct key_type *type,
				   const char *description)
{
	/* That of a session is made, for the caller, if there is none. */
	const key_serial_t keyrings[] = {
		KEY_SPEC_THREAD_KEYRING,
		KEY_SPEC_PROCESS_KEYRING,
		current_cred()->session_keyring ?
			KEY_SPEC_SESSION_KEYRING :
			KEY_SPEC_USER_SESSION_KEYRING,
	};
	key_ref_t keyring, key;
	int err = -ENOKEY;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(keyrings); i++) {
		/* Partial: not to wait for the keyring, either. */
		keyring = lookup_user_key(keyrings[i], KEY_LOOKUP_PARTIAL,
					  KEY_NEED_SEARCH);
		if (keyring == ERR_PTR(-ENOMEM))
			return ERR_PTR(-ENOMEM);
		if (IS_ERR(keyring))
			continue;
		key = keyring_search(keyring, type, description, true);
		key_ref_put(keyring);
		if (!IS_ERR(key))
			return key_ref_to_ptr(key);
		if (err == -ENOKEY && PTR_ERR(key) != -EAGAIN)
			err = PTR_ERR(key);
	}
	return ERR_PTR(err);
}

/* The key's length, of which no more than @max bytes are copied, or an error. */
static ssize_t stor_key_copy(const struct key *key, enum stor_key_type type,
			     u8 *buf, size_t max)
{
	struct stor_payload payload;
	short state = key_read_state(key);
	int err;

	if (state == KEY_IS_UNINSTANTIATED)
		return -EINPROGRESS;
	if (state < 0)
		return state;
	err = key_validate(key);
	if (err)
		return err;
	guard(rcu)();
	payload = stor_payload_of(key, type);
	/* It was revoked meanwhile. */
	if (!payload.data)
		return -EKEYREVOKED;
	memcpy(buf, payload.data, min(payload.len, max));
	return payload.len;
}

/**
 * stor_key_read - copy a key out of the keyrings of the current task
 * @type: its type
 * @description: its description
 * @buf: where to; the caller wipes it
 * @max: room in @buf
 *
 * Return: the length of the key, of which no more than @max bytes are copied;
 * -ENOPKG if the kernel has no such type, -ENOKEY, -EINPROGRESS if somebody is still
 * making the key, -EKEYEXPIRED, -EKEYREVOKED, -EACCES, -ENOMEM, or what whoever was to
 * make the key has said.
 */
ssize_t stor_key_read(enum stor_key_type type, const char *description, u8 *buf,
		      size_t max)
{
	struct key_type *key_type;
	struct key *key;
	ssize_t ret;

	key_type = stor_key_type_get(type);
	if (!key_type)
		return -ENOPKG;
	key = stor_key_search(key_type, description);
	if (IS_ERR(key)) {
		ret = PTR_ERR(key);
	} else {
		ret = stor_key_copy(key, type, buf, max);
		key_put(key);
	}
	stor_key_type_put(type);
	return ret;
}

/**
 * stor_wipe - overwrite a secret, whether it is used later or not
 * @secret: where it is
 * @len: its length
 */
void stor_wipe(void *secret, size_t len)
{
	memzero_explicit(secret, len);
}
