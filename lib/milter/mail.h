/* SPDX-License-Identifier: ISC */
/*
 * The message as milters see and change it: a header in memory, and a body in memory or in a file.
 * Each milter sees what the one before it made.
 */
#ifndef KP_MILTER_MAIL_H
#define KP_MILTER_MAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct why;

/* Room that bodies which milters replace share: `held` of `max` octets. */
struct milter_budget {
	size_t held, max;
};

struct milter_mail {
	struct buf header; /* in wire form, the empty line not included */
	struct str body;   /* in memory, the empty line included; the caller's */
	int fd;            /* -1, or where the body is: `body_at`, `body_size`; owned */
	off_t body_at;
	uint64_t body_size;
	bool gap;                     /* the body in the file begins with the empty line */
	struct buf replaced;          /* the body that a milter gave, the empty line included */
	bool is_replaced, is_changed; /* ... and the header is not what it was */
	struct milter_budget *budget; /* of `replaced`; NULL: none */
	/* what the milter that is asked now makes of it counts when it is done */
	struct buf before, coming; /* the header as it was; a body */
	bool begun, comes, was_changed;
};

/* `header_max` bounds what milters may make of the header, `body_max` of a replaced body. */
void milter_mail_init(struct milter_mail *mail, size_t header_max, size_t body_max);
void milter_mail_clear(struct milter_mail *mail);

/* Content in memory, which stays the caller's; -1: its header is over the bound. */
int milter_mail_memory(struct milter_mail *mail, struct str content) KP_MUST_USE;

/* Content in a file, from `at` on, `header` octets of `size` before the empty line. Takes `fd` over
 * in any case. -1 with `why`. */
int milter_mail_file(struct milter_mail *mail, int fd, uint64_t at, uint64_t header, uint64_t size,
    struct why *why) KP_MUST_USE;

/* A milter is asked; it has had its say; it has failed, and what it did is undone. */
void milter_mail_begin(struct milter_mail *mail);
void milter_mail_accept(struct milter_mail *mail);
void milter_mail_revert(struct milter_mail *mail);

/* Up to `n` octets of the body (behind the empty line) from `at`; 0 at its end, -1 with errno. */
ssize_t milter_mail_body(
    const struct milter_mail *mail, uint64_t at, char *out, size_t n) KP_MUST_USE;

/*
 * Changes to the header. Values come as milters send them (lines apart by LF) and become wire form;
 * nothing in them can end the header or begin another field. `lead`: the value brings its own first
 * blank. -1: over the bound.
 */
int milter_mail_add(
    struct milter_mail *mail, struct str name, struct str value, bool lead) KP_MUST_USE;
/* Before the index-th field (0 and 1: before all). */
int milter_mail_insert(struct milter_mail *mail, uint32_t index, struct str name, struct str value,
    bool lead) KP_MUST_USE;
/* The index-th field of the name (0 and 1: the first); an empty value removes it; where there is
 * none it is added. */
int milter_mail_change(struct milter_mail *mail, uint32_t index, struct str name, struct str value,
    bool lead) KP_MUST_USE;

/* A part of the new body, CRLF or LF at its line ends. -1: over its bound or the budget. */
int milter_mail_replace(struct milter_mail *mail, struct str part) KP_MUST_USE;

#endif
