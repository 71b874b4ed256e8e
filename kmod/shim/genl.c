// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink's inline functions as functions that Rust can call.
 */
#include "shim.h"

bool stor_shim_genl_privileged(struct sk_buff *skb)
{
	return netlink_capable(skb, CAP_SYS_ADMIN);
}

/**
 * stor_shim_genl_attrs - the attributes of a request
 * @nlh: the request, whose headers the core has checked
 * @len: set to their length in bytes
 *
 * Return: the first attribute; not to be looked at if @len is 0.
 */
const void *stor_shim_genl_attrs(const struct nlmsghdr *nlh, size_t *len)
{
	*len = max(nlmsg_attrlen(nlh, GENL_HDRLEN), 0);
	return nlmsg_attrdata(nlh, GENL_HDRLEN);
}

struct sk_buff *stor_shim_genl_reply_new(struct genl_info *info, u8 cmd,
					 void **hdr)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE + PATH_MAX,
					  GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &stor_nl_family, 0, cmd);
	return skb;
}

int stor_shim_genl_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

/**
 * stor_shim_genl_ntf_new - begin an event
 * @cmd: the notification
 * @hdr: set to its header, NULL if there is no room
 *
 * A backing may go away while memory is scarce and I/O is what would free it,
 * so the allocation starts none.
 *
 * Return: the message, or NULL.
 */
struct sk_buff *stor_shim_genl_ntf_new(u8 cmd, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE + PATH_MAX,
					  GFP_NOIO);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put(skb, 0, 0, &stor_nl_family, 0, cmd);
	return skb;
}

void stor_shim_genl_ntf(struct sk_buff *skb)
{
	/* -ESRCH, nobody listens, is no error. */
	genlmsg_multicast(&stor_nl_family, skb, 0, STOR_NLGRP_MONITOR, GFP_NOIO);
}

void *stor_shim_genl_dump_put(struct sk_buff *skb, struct netlink_callback *cb,
			      u8 cmd)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, &stor_nl_family,
				NLM_F_MULTI, cmd);

	if (hdr)
		genl_dump_check_consistent(cb, hdr);
	return hdr;
}

unsigned long *stor_shim_genl_dump_cursor(struct netlink_callback *cb)
{
	return (unsigned long *)cb->ctx;
}
