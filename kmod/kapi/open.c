// SPDX-License-Identifier: GPL-2.0
/*
 * What may have to wait for ever: to look up the path of a backing, which a file
 * system may have to ask others for, and to open and close backings, which takes the
 * open_mutex of a disk, and whoever has that may wait for a device. Commands come
 * with locks of generic netlink held; so workers do this, and who asks them gives up
 * some time.
 *
 * Each worker has a reference to the module until it is nearly done; the rest is
 * what stor_shim_wait_for_callers() waits for.
 */
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/device_cgroup.h>
#include <linux/file.h>
#include <linux/fs_struct.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "open.h"

/**
 * struct stor_bdev - a device that is open
 * @work: opens it, and later closes it
 * @done: it has done so
 * @users: who asked, and the worker
 * @given_up: in stor_given_up, if nobody waits for it to be opened any more
 * @dev: its number
 * @read_only: for reading only; else for writing, too
 * @file: the open file, or why there is none; the first of worker and who asked
 *	to set it decides
 */
struct stor_bdev {
	struct work_struct work;
	struct completion done;
	refcount_t users;
	struct list_head given_up;
	dev_t dev;
	bool read_only;
	struct file *file;
};

/**
 * struct stor_lookup - a path that is looked up
 * @work: looks it up
 * @done: it has done so
 * @users: who asked, and the worker
 * @given_up: in stor_given_up_lookups, if nobody waits for it any more
 * @root: where paths of who asked begin
 * @pwd: if the path was relative, where that begins; else empty
 * @pwd_name: the path of @pwd, or NULL
 * @name: the path, from @root
 * @cred: rights of who asked
 * @ended: @err and @dev say what has become of it
 * @err: why there is no device, or 0
 * @dev: the number of the device
 */
struct stor_lookup {
	struct work_struct work;
	struct completion done;
	refcount_t users;
	struct list_head given_up;
	struct path root;
	struct path pwd;
	char *pwd_name;
	char *name;
	const struct cred *cred;
	bool ended;
	int err;
	dev_t dev;
};

/*
 * Opens, and lookups, that nobody waits for any more. Of a device, and of a path,
 * there is one at most: who tries again and again shall not make a worker each
 * time.
 */
static LIST_HEAD(stor_given_up);
static LIST_HEAD(stor_given_up_lookups);
/* Protects these lists, and how a lookup has ended; a leaf, taken by tasks. */
static DEFINE_SPINLOCK(stor_given_up_lock);

static void stor_mark_dead(struct block_device *bdev, bool surprise)
	__releases(&bdev->bd_holder_lock)
{
	unsigned int noio;

	/*
	 * Under the lock the claim stands, and with it a reference to the
	 * module. Keep one: the claim may go as soon as the lock does.
	 */
	__module_get(THIS_MODULE);
	/*
	 * What follows may walk up to a file system on our disk, which takes
	 * locks of the same class.
	 */
	mutex_unlock(&bdev->bd_holder_lock);
	/* The caller may be the one who has to get I/O going again. */
	noio = memalloc_noio_save();
	stor_backing_lost(bdev, surprise);
	memalloc_noio_restore(noio);
	module_put(THIS_MODULE);
}

static const struct blk_holder_ops stor_holder_ops = {
	.mark_dead = stor_mark_dead,
};

static void stor_bdev_put(struct stor_bdev *bdev)
{
	if (refcount_dec_and_test(&bdev->users))
		kfree(bdev);
}

/* Wait for a worker; false if that takes too long, or the task is killed. */
static bool stor_wait(struct completion *done, unsigned int patience)
{
	return wait_for_completion_killable_timeout(done,
						    msecs_to_jiffies(patience)) > 0;
}

static void stor_bdev_done(struct stor_bdev *bdev)
{
	/* Who is told may unload the module at once. */
	module_put(THIS_MODULE);
	complete_all(&bdev->done);
	stor_bdev_put(bdev);
}

static void stor_open_work(struct work_struct *work)
{
	struct stor_bdev *bdev = container_of(work, struct stor_bdev, work);
	blk_mode_t mode = BLK_OPEN_READ;
	struct file *file;

	if (!bdev->read_only)
		mode |= BLK_OPEN_WRITE;
	/* One holder for all, so that they can share a device. */
	file = bdev_file_open_by_dev(bdev->dev, mode, (void *)&stor_holder_ops,
				     &stor_holder_ops);
	if (cmpxchg(&bdev->file, NULL, file)) {
		if (!IS_ERR(file))
			__fput_sync(file);
		spin_lock(&stor_given_up_lock);
		list_del(&bdev->given_up);
		spin_unlock(&stor_given_up_lock);
	}
	/*
	 * What was put then may be the last of a disk of ours, and needs the
	 * module. It is put by a worker, who may have to wait for others.
	 */
	if (IS_ERR(file))
		flush_delayed_fput();
	stor_bdev_done(bdev);
}

static void stor_close_work(struct work_struct *work)
{
	struct stor_bdev *bdev = container_of(work, struct stor_bdev, work);

	/* The device is free for others even if there is data to be written. */
	bdev_yield_claim(bdev->file);
	__fput_sync(bdev->file);
	stor_bdev_done(bdev);
}

static void stor_bdev_ask(struct stor_bdev *bdev, work_func_t function)
{
	INIT_WORK(&bdev->work, function);
	init_completion(&bdev->done);
	__module_get(THIS_MODULE);
	queue_work(system_dfl_long_wq, &bdev->work);
}

/*
 * Nobody waits for it to be opened: gives what has become of it, or
 * ERR_PTR(-ETIMEDOUT), and then the worker closes it again.
 */
static struct file *stor_give_up(struct stor_bdev *bdev)
{
	struct file *file;

	spin_lock(&stor_given_up_lock);
	file = cmpxchg(&bdev->file, NULL, ERR_PTR(-ETIMEDOUT));
	if (!file)
		list_add(&bdev->given_up, &stor_given_up);
	spin_unlock(&stor_given_up_lock);
	return file ?: ERR_PTR(-ETIMEDOUT);
}

static bool stor_is_given_up(dev_t dev)
{
	struct stor_bdev *bdev;
	bool found = false;

	spin_lock(&stor_given_up_lock);
	list_for_each_entry(bdev, &stor_given_up, given_up)
		found |= bdev->dev == dev;
	spin_unlock(&stor_given_up_lock);
	return found;
}

/**
 * stor_bdev_open - open a device exclusively
 * @dev: its number
 * @read_only: for reading only; else for writing, too
 * @patience: for how long to wait, in ms
 *
 * All opens have one holder, so that they can share a device. The caller has a
 * reference to the module, and keeps it until it has closed the device.
 *
 * Context: process.
 * Return: the open device, for stor_bdev_close(), or an ERR_PTR(): -ETIMEDOUT
 * if it is not open by then, or the task is killed, or that has happened before
 * and it is not over.
 */
struct stor_bdev *stor_bdev_open(dev_t dev, bool read_only,
				 unsigned int patience)
{
	struct stor_bdev *bdev;
	struct file *file;
	int err;

	/* The worker is in no cgroup that forbids anything. */
	err = devcgroup_check_permission(DEVCG_DEV_BLOCK, MAJOR(dev), MINOR(dev),
					 read_only ? DEVCG_ACC_READ :
					 DEVCG_ACC_READ | DEVCG_ACC_WRITE);
	if (err)
		return ERR_PTR(err);
	if (stor_is_given_up(dev))
		return ERR_PTR(-ETIMEDOUT);
	bdev = kzalloc_obj(*bdev);
	if (!bdev)
		return ERR_PTR(-ENOMEM);
	refcount_set(&bdev->users, 2);
	bdev->dev = dev;
	bdev->read_only = read_only;
	stor_bdev_ask(bdev, stor_open_work);
	file = stor_wait(&bdev->done, patience) ? bdev->file : stor_give_up(bdev);
	if (IS_ERR(file)) {
		stor_bdev_put(bdev);
		return ERR_CAST(file);
	}
	/* If it was opened just now, nothing is left that it would wait for. */
	wait_for_completion(&bdev->done);
	return bdev;
}

/**
 * stor_bdev_close - close a device
 * @bdev: what stor_bdev_open() has given; not to be used any more
 * @patience: for how long to wait, in ms
 *
 * If it is not closed by then, or the task is killed, that comes later.
 *
 * Context: process.
 */
void stor_bdev_close(struct stor_bdev *bdev, unsigned int patience)
{
	refcount_inc(&bdev->users);
	/* The worker that has opened it is done with all but its reference. */
	stor_bdev_ask(bdev, stor_close_work);
	if (!stor_wait(&bdev->done, patience))
		pr_warn("stor: backing %u:%u is not closed yet\n",
			MAJOR(bdev->dev), MINOR(bdev->dev));
	stor_bdev_put(bdev);
}

/**
 * stor_bdev_get - the device that is open, valid until it is closed
 * @bdev: what stor_bdev_open() has given
 */
struct block_device *stor_bdev_get(struct stor_bdev *bdev)
{
	return file_bdev(bdev->file);
}

/**
 * stor_bdev_file - the file by which it is open; the reference is the caller's
 * @bdev: what stor_bdev_open() has given
 *
 * The device is claimed until stor_bdev_close(), and open until that and until
 * all such references are gone.
 */
struct file *stor_bdev_file(struct stor_bdev *bdev)
{
	return get_file(bdev->file);
}

/*
 * The last reference to a mount or a dentry may be gone with these, and to put
 * that may take as long as a lookup: once a worker has been asked, it does this.
 */
static void stor_lookup_release(struct stor_lookup *lookup)
{
	path_put(&lookup->root);
	path_put(&lookup->pwd);
	put_cred(lookup->cred);
}

static void stor_lookup_put(struct stor_lookup *lookup)
{
	if (!refcount_dec_and_test(&lookup->users))
		return;
	kfree(lookup->pwd_name);
	kfree(lookup->name);
	kfree(lookup);
}

/*
 * Where a path leads who asked, and not the worker: what begins with a slash, and
 * links that do, begin at the root of who asked, and ".." does not lead out of it.
 * Links of /proc say what a task has open, or has for a root: /proc/self would be
 * the worker's, and lead to another device. So none is followed.
 */
static int stor_lookup_path(const struct stor_lookup *lookup, const char *name,
			    struct path *path)
{
	return vfs_path_lookup(lookup->root.dentry, lookup->root.mnt, name,
			       LOOKUP_FOLLOW | LOOKUP_NO_MAGICLINKS, path);
}

/*
 * A lookup that begins elsewhere than at the root takes that for the root. So a
 * relative path was made absolute, and it is wrong if the directory has no name by
 * now, or one that leads elsewhere: if it was removed, mounted over, or is not
 * below the root.
 */
static int stor_lookup_check_pwd(const struct stor_lookup *lookup)
{
	struct path path;
	bool is_same;
	int err;

	if (!lookup->pwd_name)
		return 0;
	err = stor_lookup_path(lookup, lookup->pwd_name, &path);
	if (err)
		return err;
	is_same = path_equal(&path, &lookup->pwd);
	path_put(&path);
	return is_same ? 0 : -ENOENT;
}

/* What lookup_bdev() does with a path of its caller. */
static int stor_lookup_dev(const struct stor_lookup *lookup, dev_t *dev)
{
	struct inode *inode;
	struct path path;
	int err;

	err = stor_lookup_check_pwd(lookup);
	if (err)
		return err;
	err = stor_lookup_path(lookup, lookup->name, &path);
	if (err)
		return err;
	inode = d_backing_inode(path.dentry);
	*dev = inode->i_rdev;
	if (!S_ISBLK(inode->i_mode))
		err = -ENOTBLK;
	else if (path.mnt->mnt_flags & MNT_NODEV ||
		 path.mnt->mnt_sb->s_iflags & SB_I_NODEV)
		err = -EACCES;
	else if (!*dev)
		err = -ENODEV;
	path_put(&path);
	return err;
}

static void stor_lookup_work(struct work_struct *work)
{
	struct stor_lookup *lookup = container_of(work, struct stor_lookup, work);
	const struct cred *cred;
	dev_t dev = 0;
	int err;

	cred = override_creds(lookup->cred);
	err = stor_lookup_dev(lookup, &dev);
	revert_creds(cred);
	stor_lookup_release(lookup);

	spin_lock(&stor_given_up_lock);
	lookup->ended = true;
	lookup->err = err;
	lookup->dev = dev;
	list_del_init(&lookup->given_up);
	spin_unlock(&stor_given_up_lock);
	/* Who is told may unload the module at once. */
	module_put(THIS_MODULE);
	complete_all(&lookup->done);
	stor_lookup_put(lookup);
}

static int stor_lookup_set_name(struct stor_lookup *lookup, const char *name)
{
	char *buf, *pwd;
	int err = 0;

	if (*name == '/') {
		lookup->name = kstrdup(name, GFP_KERNEL);
		return lookup->name ? 0 : -ENOMEM;
	}
	buf = kmalloc(PATH_MAX, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	get_fs_pwd(current->fs, &lookup->pwd);
	pwd = d_path(&lookup->pwd, buf, PATH_MAX);
	if (IS_ERR(pwd)) {
		err = PTR_ERR(pwd);
		goto free;
	}
	lookup->pwd_name = kstrdup(pwd, GFP_KERNEL);
	lookup->name = kasprintf(GFP_KERNEL, "%s/%s", pwd, name);
	if (!lookup->pwd_name || !lookup->name)
		err = -ENOMEM;
free:
	kfree(buf);
	return err;
}

/* Nothing here waits for a file system. */
static struct stor_lookup *stor_lookup_new(const char *name)
{
	struct stor_lookup *lookup;
	int err;

	lookup = kzalloc_obj(*lookup);
	if (!lookup)
		return ERR_PTR(-ENOMEM);
	refcount_set(&lookup->users, 1);
	init_completion(&lookup->done);
	INIT_LIST_HEAD(&lookup->given_up);
	INIT_WORK(&lookup->work, stor_lookup_work);
	get_fs_root(current->fs, &lookup->root);
	lookup->cred = get_current_cred();
	err = stor_lookup_set_name(lookup, name);
	if (err) {
		stor_lookup_release(lookup);
		stor_lookup_put(lookup);
		return ERR_PTR(err);
	}
	return lookup;
}

static bool stor_lookup_is_given_up(const struct stor_lookup *wanted)
{
	struct stor_lookup *lookup;
	bool found = false;

	spin_lock(&stor_given_up_lock);
	list_for_each_entry(lookup, &stor_given_up_lookups, given_up)
		found |= path_equal(&lookup->root, &wanted->root) &&
			 !strcmp(lookup->name, wanted->name);
	spin_unlock(&stor_given_up_lock);
	return found;
}

/**
 * stor_bdev_lookup - look up the device that a path of the caller leads to
 * @name: the path
 * @patience: for how long to wait, in ms
 * @dev: where to put its number
 *
 * As lookup_bdev(), but links of /proc to what a task has open are not followed.
 *
 * Context: process.
 * Return: 0, or an error of the lookup: -ETIMEDOUT if it has not ended by then, or
 * the task is killed, or that has happened before and it is not over; -ESHUTDOWN
 * if the module is being unloaded.
 */
int stor_bdev_lookup(const char *name, unsigned int patience, dev_t *dev)
{
	struct stor_lookup *lookup;
	int err = 0;

	lookup = stor_lookup_new(name);
	if (IS_ERR(lookup))
		return PTR_ERR(lookup);
	if (stor_lookup_is_given_up(lookup))
		err = -ETIMEDOUT;
	else if (!try_module_get(THIS_MODULE))
		err = -ESHUTDOWN;
	if (err) {
		stor_lookup_release(lookup);
		goto put;
	}
	refcount_inc(&lookup->users);
	queue_work(system_dfl_long_wq, &lookup->work);
	stor_wait(&lookup->done, patience);
	spin_lock(&stor_given_up_lock);
	if (lookup->ended) {
		err = lookup->err;
		*dev = lookup->dev;
	} else {
		err = -ETIMEDOUT;
		list_add(&lookup->given_up, &stor_given_up_lookups);
	}
	spin_unlock(&stor_given_up_lock);
put:
	stor_lookup_put(lookup);
	return err;
}
