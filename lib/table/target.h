/* SPDX-License-Identifier: ISC */
/*
 * The right-hand side of an alias, and the lines of ~/.forward and :include: files: a list of
 *targets by commas.
 *
 *	address		user, user@domain, Some Name <user@domain>, "quoted user"@domain
 *	\user		that user's own mailbox, no further aliasing
 *	/path		append to a file, or to a Maildir where it ends with a slash
 *	|command	run it; "|command with, commas" and |"command" are the same
 *	:include:/path	the targets that stand in that file
 */
#ifndef KP_TABLE_TARGET_H
#define KP_TABLE_TARGET_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

struct why;

enum target_kind { TARGET_ADDRESS, TARGET_USER, TARGET_FILE, TARGET_COMMAND, TARGET_INCLUDE };

struct target {
	enum target_kind kind;
	struct str
	    text; /* without the mark (\, |, :include:) and without quotes around the whole */
};

enum { TARGET_MAX = 4096 };

/*
 * Cuts the next target off `*rest`; its text lies in `room` (initialised with at least TARGET_MAX)
 * until the next call. 1, 0 at the end, -1 with `why` where it is malformed (class permanent).
 */
int target_next(
    struct str *rest, struct buf *room, struct target *target, struct why *why) KP_MUST_USE;

/*
 * The same for a file of targets, line by line: empty lines and lines that start with '#' do not
 * count. `*line` (start with 0) is the number of the line that the target came from.
 */
struct target_file {
	struct str rest; /* set to the whole text at first */
	struct str line; /* what is left of the current line */
	size_t number;
};
int target_file_next(
    struct target_file *f, struct buf *room, struct target *target, struct why *why) KP_MUST_USE;

#endif
