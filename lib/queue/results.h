/* SPDX-License-Identifier: ISC */
/*
 * qmgr's result journal: entries (entry.h) about messages that still stand in segments. What is
 * added during a round goes out with one write; a sync follows in another thread. A file goes when
 * all segments that it speaks of have been sealed anew.
 */
#ifndef KP_QUEUE_RESULTS_H
#define KP_QUEUE_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct entry;
struct why;

struct results_file;

struct results {
	int dirfd; /* borrowed */
	int fd;    /* of the file that is written */
	uint64_t key, size;
	uint64_t rotate_at;
	struct buf pending;
	TAILQ_HEAD(results_files, results_file) files; /* oldest first; the last is written */
};

/* Reads all files, oldest first. `on_damage` is told where something in the middle cannot be read;
 * reading goes on behind it. */
struct results_visitor {
	void (*on_entry)(void *arg, const struct entry *e);
	void (*on_damage)(void *arg, const char *name, uint64_t offset);
	void *arg;
};

/* Opens the journal: reads what is there, then begins a new file. */
int results_open(struct results *r, int dirfd, uint64_t rotate_at,
    const struct results_visitor *visitor, struct why *why) KP_MUST_USE;
void results_close(struct results *r);

/* Reads without writing: for fsck. */
int results_read(int dirfd, const struct results_visitor *visitor, struct why *why) KP_MUST_USE;

/* Adds an entry (its segment and seal are set). It is on its way to the disk after results_write().
 */
void results_add(struct results *r, const struct entry *e);
bool results_waiting(const struct results *r);

/* Writes what was added. -1: nothing is lost, try again later. */
int results_write(struct results *r, struct why *why) KP_MUST_USE;

/*
 * Begins another file: where this one is large, and after a failed sync, so that nothing more
 * relies on the old one. Nothing may wait to be written; the caller has a duplicate of `fd` synced
 * (and `dirfd`, for the new name).
 */
bool results_full(const struct results *r);
int results_rotate(struct results *r, struct why *why) KP_MUST_USE;

/* The segment no longer exists under this seal: files that speak of nothing else are removed. */
void results_forget(struct results *r, uint64_t segment, uint64_t seal);

/* The same for all of which `exists` says no. */
void results_prune(
    struct results *r, bool (*exists)(void *arg, uint64_t segment, uint64_t seal), void *arg);

#endif
