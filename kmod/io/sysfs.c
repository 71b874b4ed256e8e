// SPDX-License-Identifier: GPL-2.0
/*
 * What sysfs shows of a disk: /sys/block/storN/serial, uuid, and stor/.
 */
#include <linux/sysfs.h>

#include "sysfs.h"

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct stor_identity *id = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", id->serial);
}
static DEVICE_ATTR_RO(serial);

static ssize_t uuid_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct stor_identity *id = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", id->uuid);
}
static DEVICE_ATTR_RO(uuid);

static struct attribute *stor_disk_attrs[] = {
	&dev_attr_serial.attr,
	&dev_attr_uuid.attr,
	NULL
};

static const struct attribute_group stor_disk_group = {
	.attrs = stor_disk_attrs,
};

/* A file of the group "stor", and what it shows. */
struct stor_attribute {
	struct device_attribute attr;
	enum stor_sysfs what;
};

static ssize_t stor_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct gendisk *disk = dev_to_disk(dev);
	struct stor_identity *id = disk->private_data;

	return id->show(disk, container_of(attr, struct stor_attribute,
					   attr)->what, buf);
}

#define STOR_ATTRIBUTE(_name, _what)				\
	static struct stor_attribute stor_attr_##_name = {	\
		.attr = __ATTR(_name, 0444, stor_show, NULL),	\
		.what = _what,					\
	}

STOR_ATTRIBUTE(state, STOR_SYSFS_STATE);
STOR_ATTRIBUTE(backing, STOR_SYSFS_BACKING);
STOR_ATTRIBUTE(offset, STOR_SYSFS_OFFSET);
STOR_ATTRIBUTE(length, STOR_SYSFS_LENGTH);
STOR_ATTRIBUTE(read_only, STOR_SYSFS_READ_ONLY);
STOR_ATTRIBUTE(inflight, STOR_SYSFS_INFLIGHT);
STOR_ATTRIBUTE(reads, STOR_SYSFS_READS);
STOR_ATTRIBUTE(writes, STOR_SYSFS_WRITES);
STOR_ATTRIBUTE(flushes, STOR_SYSFS_FLUSHES);
STOR_ATTRIBUTE(discards, STOR_SYSFS_DISCARDS);
STOR_ATTRIBUTE(read_bytes, STOR_SYSFS_READ_BYTES);
STOR_ATTRIBUTE(write_bytes, STOR_SYSFS_WRITE_BYTES);
STOR_ATTRIBUTE(errors, STOR_SYSFS_ERRORS);
STOR_ATTRIBUTE(gate_count, STOR_SYSFS_GATE_COUNT);
STOR_ATTRIBUTE(gate_last_ns, STOR_SYSFS_GATE_LAST_NS);
STOR_ATTRIBUTE(gate_longest_ns, STOR_SYSFS_GATE_LONGEST_NS);

static struct attribute *stor_volume_attrs[] = {
	&stor_attr_state.attr.attr,
	&stor_attr_backing.attr.attr,
	&stor_attr_offset.attr.attr,
	&stor_attr_length.attr.attr,
	&stor_attr_read_only.attr.attr,
	&stor_attr_inflight.attr.attr,
	&stor_attr_reads.attr.attr,
	&stor_attr_writes.attr.attr,
	&stor_attr_flushes.attr.attr,
	&stor_attr_discards.attr.attr,
	&stor_attr_read_bytes.attr.attr,
	&stor_attr_write_bytes.attr.attr,
	&stor_attr_errors.attr.attr,
	&stor_attr_gate_count.attr.attr,
	&stor_attr_gate_last_ns.attr.attr,
	&stor_attr_gate_longest_ns.attr.attr,
	NULL
};

static const struct attribute_group stor_volume_group = {
	.name = "stor",
	.attrs = stor_volume_attrs,
};

const struct attribute_group *stor_sysfs_groups[] = {
	&stor_disk_group,
	&stor_volume_group,
	NULL
};
