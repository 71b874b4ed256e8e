// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	uapi/stor.yaml */
/* YNL-GEN kernel source */
/* To regenerate run: tools/net/ynl/ynl-regen.sh */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "stor-nl-gen.h"

#include <uapi/stor.h>

/* STOR_CMD_VOLUME_NEW - do */
static const struct nla_policy stor_volume_new_nl_policy[STOR_A_VOLUME_CRYPTO_ENGINE + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
	[STOR_A_VOLUME_BACKING] = { .type = NLA_NUL_STRING, .len = 1023, },
	[STOR_A_VOLUME_OFFSET] = { .type = NLA_U64, },
	[STOR_A_VOLUME_LENGTH] = { .type = NLA_U64, },
	[STOR_A_VOLUME_READ_ONLY] = NLA_POLICY_MAX(NLA_U8, 1),
	[STOR_A_VOLUME_KEY] = { .type = NLA_NUL_STRING, .len = 511, },
	[STOR_A_VOLUME_CRYPTO_SECTOR] = { .type = NLA_U32, },
	[STOR_A_VOLUME_IV_OFFSET] = { .type = NLA_U64, },
	[STOR_A_VOLUME_IV_LARGE_SECTORS] = NLA_POLICY_MAX(NLA_U8, 1),
	[STOR_A_VOLUME_DISCARD] = NLA_POLICY_MAX(NLA_U8, 1),
	[STOR_A_VOLUME_CRYPTO_ENGINE] = NLA_POLICY_MAX(NLA_U32, 2),
};

/* STOR_CMD_VOLUME_DEL - do */
static const struct nla_policy stor_volume_del_nl_policy[STOR_A_VOLUME_INDEX + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
};

/* STOR_CMD_VOLUME_GET - do */
static const struct nla_policy stor_volume_get_nl_policy[STOR_A_VOLUME_INDEX + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
};

/* STOR_CMD_VOLUME_SET - do */
static const struct nla_policy stor_volume_set_nl_policy[STOR_A_VOLUME_READ_ONLY + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
	[STOR_A_VOLUME_LENGTH] = { .type = NLA_U64, },
	[STOR_A_VOLUME_READ_ONLY] = NLA_POLICY_MAX(NLA_U8, 1),
};

/* STOR_CMD_VOLUME_GATE - do */
static const struct nla_policy stor_volume_gate_nl_policy[STOR_A_VOLUME_INDEX + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
};

/* STOR_CMD_STAT_GET - dump */
static const struct nla_policy stor_stat_get_nl_policy[STOR_A_STAT_PER_CPU + 1] = {
	[STOR_A_STAT_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_STAT_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_STAT_INDEX] = { .type = NLA_U32, },
	[STOR_A_STAT_PER_CPU] = { .type = NLA_FLAG, },
};

/* STOR_CMD_VOLUME_LOCK - do */
static const struct nla_policy stor_volume_lock_nl_policy[STOR_A_VOLUME_LOCK + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
	[STOR_A_VOLUME_LOCK] = NLA_POLICY_MAX(NLA_U32, 1),
};

/* STOR_CMD_VOLUME_UNLOCK - do */
static const struct nla_policy stor_volume_unlock_nl_policy[STOR_A_VOLUME_KEY + 1] = {
	[STOR_A_VOLUME_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[STOR_A_VOLUME_UUID] = NLA_POLICY_EXACT_LEN(STOR_UUID_LEN),
	[STOR_A_VOLUME_INDEX] = { .type = NLA_U32, },
	[STOR_A_VOLUME_KEY] = { .type = NLA_NUL_STRING, .len = 511, },
};

/* Ops table for stor */
static const struct genl_split_ops stor_nl_ops[] = {
	{
		.cmd	= STOR_CMD_INFO_GET,
		.doit	= stor_nl_info_get_doit,
		.flags	= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_VOLUME_NEW,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_new_doit,
		.policy		= stor_volume_new_nl_policy,
		.maxattr	= STOR_A_VOLUME_CRYPTO_ENGINE,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_VOLUME_DEL,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_del_doit,
		.policy		= stor_volume_del_nl_policy,
		.maxattr	= STOR_A_VOLUME_INDEX,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_VOLUME_GET,
		.doit		= stor_nl_volume_get_doit,
		.policy		= stor_volume_get_nl_policy,
		.maxattr	= STOR_A_VOLUME_INDEX,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd	= STOR_CMD_VOLUME_GET,
		.dumpit	= stor_nl_volume_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= STOR_CMD_VOLUME_SET,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_set_doit,
		.policy		= stor_volume_set_nl_policy,
		.maxattr	= STOR_A_VOLUME_READ_ONLY,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_VOLUME_GATE,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_gate_doit,
		.policy		= stor_volume_gate_nl_policy,
		.maxattr	= STOR_A_VOLUME_INDEX,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_STAT_GET,
		.dumpit		= stor_nl_stat_get_dumpit,
		.policy		= stor_stat_get_nl_policy,
		.maxattr	= STOR_A_STAT_PER_CPU,
		.flags		= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= STOR_CMD_VOLUME_LOCK,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_lock_doit,
		.policy		= stor_volume_lock_nl_policy,
		.maxattr	= STOR_A_VOLUME_LOCK,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= STOR_CMD_VOLUME_UNLOCK,
		.pre_doit	= stor_nl_admin_pre_doit,
		.doit		= stor_nl_volume_unlock_doit,
		.policy		= stor_volume_unlock_nl_policy,
		.maxattr	= STOR_A_VOLUME_KEY,
		.flags		= GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group stor_nl_mcgrps[] = {
	[STOR_NLGRP_MONITOR] = { "monitor", },
};

struct genl_family stor_nl_family __ro_after_init = {
	.name		= STOR_FAMILY_NAME,
	.version	= STOR_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= stor_nl_ops,
	.n_split_ops	= ARRAY_SIZE(stor_nl_ops),
	.mcgrps		= stor_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(stor_nl_mcgrps),
};
