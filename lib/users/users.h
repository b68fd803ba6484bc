/* SPDX-License-Identifier: ISC */
/*
 * The suite's own accounts: an LMDB database in spool/auth, name to record (secret.h). keeper opens
 * it; `kingpost user` does where keeper is not running.
 */
#ifndef KP_USERS_USERS_H
#define KP_USERS_USERS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct users;
struct why;

enum { USERS_NAME_MAX = 255, USERS_SEED_SIZE = 32 };

/* NULL with `why`. `folder` is there. */
struct users *users_open(const char *folder, struct why *why) KP_MUST_USE;
void users_close(struct users **up);

/* The form in which a name is kept: ASCII letters folded. False: it can be no name (empty, too
 * long, control characters, blanks at its ends). */
bool users_name(struct str said, struct buf *name);

/* 1: `record` is its record; 0: there is none; -1: could not tell. */
int users_get(struct users *u, struct str name, struct buf *record, struct why *why) KP_MUST_USE;

/* `add`: refuses where it is there; otherwise where it is not there. On the disk when it returns.
 */
enum users_change { USERS_ADD, USERS_REPLACE, USERS_DELETE };
int users_set(struct users *u, enum users_change change, struct str name, struct str record,
    struct why *why) KP_MUST_USE;

/* Calls `row` for accounts behind the name `after` ("": from the first) until it returns false. */
typedef bool users_row_fn(void *arg, struct str name, struct str record);
int users_list(
    struct users *u, struct str after, users_row_fn *row, void *arg, struct why *why) KP_MUST_USE;

/* What a record holds, for people: "crypt scram". */
const char *users_schemes(struct str record);

/* Secret octets that belong to the database: secret_pretend()'s seed. */
struct str users_seed(const struct users *u);

#endif
