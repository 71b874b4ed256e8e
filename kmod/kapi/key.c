// SPDX-License-Identifier: GPL-2.0
/*
 * Keys of volumes, from the keyrings of the task that asks for a volume.
 */
#include <keys/encrypted-type.h>
#include <keys/trusted-type.h>
#include <keys/user-type.h>
#include <linux/key.h>
#include <linux/keyctl.h>
#include <linux/module.h>
#include <linux/string.h>

#include "key.h"

struct stor_payload {
	const void *data;
	size_t len;
};

static struct stor_payload stor_payload_of(const struct key *key,
					   enum stor_key_type type)
{
	struct stor_payload payload = { };

	switch (type) {
	case STOR_KEY_LOGON:
	case STOR_KEY_USER: {
		const struct user_key_payload *user;

		user = user_key_payload_locked(key);
		if (user)
			payload = (struct stor_payload){ user->data,
							 user->datalen };
		break;
	}
	case STOR_KEY_ENCRYPTED: {
		const struct encrypted_key_payload *encrypted;

		encrypted = dereference_key_locked((struct key *)key);
		if (encrypted)
			payload = (struct stor_payload){
				encrypted->decrypted_data,
				encrypted->decrypted_datalen };
		break;
	}
	case STOR_KEY_TRUSTED: {
		const struct trusted_key_payload *trusted;

		trusted = dereference_key_locked((struct key *)key);
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
 * Why a key was not found: request_key() passes over one that has expired, as
 * if there were none, and over one that was revoked, or may not be searched
 * for, if it is not in the keyring that is looked into last.
 */
static int stor_key_missing(struct key_type *type, const char *description)
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
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(keyrings); i++) {
		keyring = lookup_user_key(keyrings[i], 0, KEY_NEED_SEARCH);
		if (IS_ERR(keyring))
			continue;
		key = keyring_search(keyring, type, description, true);
		key_ref_put(keyring);
		if (!IS_ERR(key))
			key_ref_put(key);
		else if (PTR_ERR(key) == -EKEYEXPIRED ||
			 PTR_ERR(key) == -EKEYREVOKED ||
			 PTR_ERR(key) == -EACCES)
			return PTR_ERR(key);
	}
	return -ENOKEY;
}

/**
 * stor_key_read - copy a key out of the keyrings of the current task
 * @type: its type
 * @description: its description
 * @buf: where to; the caller wipes it
 * @max: room in @buf
 *
 * Return: the length of the key, of which no more than @max bytes are copied;
 * -ENOPKG if the kernel has no such type, -ENOKEY, -EKEYEXPIRED, -EKEYREVOKED,
 * -EACCES, or another error of request_key().
 */
ssize_t stor_key_read(enum stor_key_type type, const char *description, u8 *buf,
		      size_t max)
{
	struct stor_payload payload;
	struct key_type *key_type;
	struct key *key;
	ssize_t ret;

	key_type = stor_key_type_get(type);
	if (!key_type)
		return -ENOPKG;
	key = request_key(key_type, description, NULL);
	if (IS_ERR(key)) {
		ret = PTR_ERR(key);
		if (ret == -ENOKEY)
			ret = stor_key_missing(key_type, description);
		goto put_type;
	}
	down_read(&key->sem);
	ret = key_validate(key);
	if (!ret) {
		payload = stor_payload_of(key, type);
		/* It was revoked meanwhile. */
		ret = payload.data ? payload.len : -EKEYREVOKED;
	}
	if (ret > 0)
		memcpy(buf, payload.data, min_t(size_t, ret, max));
	up_read(&key->sem);
	key_put(key);
put_type:
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
