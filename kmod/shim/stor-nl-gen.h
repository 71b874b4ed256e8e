/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	uapi/stor.yaml */
/* YNL-GEN kernel header */
/* To regenerate run: tools/net/ynl/ynl-regen.sh */

#ifndef _LINUX_STOR_GEN_H
#define _LINUX_STOR_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/stor.h>

int stor_nl_admin_pre_doit(const struct genl_split_ops *ops,
			   struct sk_buff *skb, struct genl_info *info);

int stor_nl_info_get_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_new_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_del_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_get_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int stor_nl_volume_set_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_gate_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_stat_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int stor_nl_volume_lock_doit(struct sk_buff *skb, struct genl_info *info);
int stor_nl_volume_unlock_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	STOR_NLGRP_MONITOR,
};

extern struct genl_family stor_nl_family;

#endif /* _LINUX_STOR_GEN_H */
