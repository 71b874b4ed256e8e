// SPDX-License-Identifier: GPL-2.0
/*
 * How often byte strings occur in files: search PATTERNS FILE...
 *
 * PATTERNS has, for each string, a byte with its length, at least 4, and the
 * string. The output has a line for each of them that was found: its number, from
 * 0, how often it was found, and where first, as FILE:OFFSET.
 *
 * All are looked for in one pass, and what is nothing but zeros is passed over:
 * the memory of a machine, and a sparse file, is mostly that.
 */
#define _GNU_SOURCE		/* SEEK_DATA */
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX 4096
#define LEAST 4
#define CHUNK 4096

struct pattern {
	const __u8 *bytes;
	size_t length;
	struct pattern *next;	/* that begins with the same two bytes */
	unsigned long count;
	const char *file;
	size_t where;
};

static struct pattern patterns[MAX];
static struct pattern *begins[1 << 16];
static unsigned int total;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static __u16 two(const __u8 *at)
{
	__u16 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The whole of a file; a hole in it costs nothing until it is looked at. */
static const __u8 *map(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat stat;
	void *data;

	if (fd < 0 || fstat(fd, &stat))
		fail(path);
	*size = stat.st_size;
	if (!*size)
		return NULL;
	data = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		fail(path);
	close(fd);
	return data;
}

static void take_patterns(const char *path)
{
	size_t size, at = 0;
	const __u8 *data = map(path, &size);

	while (at < size) {
		struct pattern *pattern = &patterns[total];

		pattern->length = data[at++];
		pattern->bytes = data + at;
		at += pattern->length;
		if (total == MAX || pattern->length < LEAST || at > size) {
			fprintf(stderr, "%s: no patterns\n", path);
			exit(1);
		}
		pattern->next = begins[two(pattern->bytes)];
		begins[two(pattern->bytes)] = pattern;
		total++;
	}
}

static int is_zero(const __u8 *at, size_t length)
{
	return !*at && !memcmp(at, at + 1, length - 1);
}

static void search(const char *path, const __u8 *data, size_t from, size_t to)
{
	size_t at;

	for (at = from; at + LEAST <= to; at++) {
		struct pattern *pattern;

		/* A string may begin with a few zeros, but not have more of them. */
		if (!(at % CHUNK) && at + CHUNK <= to && is_zero(data + at, CHUNK))
			at += CHUNK - LEAST;
		for (pattern = begins[two(data + at)]; pattern; pattern = pattern->next) {
			if (pattern->length > to - at ||
			    memcmp(data + at, pattern->bytes, pattern->length))
				continue;
			if (!pattern->count++) {
				pattern->file = path;
				pattern->where = at;
			}
		}
	}
}

static void search_file(const char *path)
{
	size_t size;
	const __u8 *data = map(path, &size);
	int fd = open(path, O_RDONLY);
	off_t from, to = 0;

	if (fd < 0)
		fail(path);
	/* What a hole cuts in two was not written at once. */
	while ((from = lseek(fd, to, SEEK_DATA)) >= 0) {
		to = lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			fail(path);
		search(path, data, from, to);
	}
	close(fd);
	if (data)
		munmap((void *)data, size);
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc < 3) {
		fprintf(stderr, "usage: search PATTERNS FILE...\n");
		return 1;
	}
	take_patterns(argv[1]);
	for (i = 2; i < (unsigned int)argc; i++)
		search_file(argv[i]);
	for (i = 0; i < total; i++) {
		if (patterns[i].count)
			printf("%u %lu %s:%#zx\n", i, patterns[i].count,
			       patterns[i].file, patterns[i].where);
	}
	return 0;
}
