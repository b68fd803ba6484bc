/* SPDX-License-Identifier: ISC */
/*
 * The codec of typed records: what travels in a channel and what goes to the log. A record type is
 *a list of fields, declared once as an X-macro; the struct, the encoder, the decoder and its bounds
 *checks follow from it.
 *
 *	#define MSG_HELLO_FIELDS(F) F(STR, name, 64) F(U64, size, 0) F(FD, content, 0)
 *
 * STR: borrowed text of at most `max` bytes. U64: a number of at most `max`, 0 meaning any. FD: an
 *open file, -1 where there is none; it travels beside the bytes.
 */
#ifndef KP_WIRE_WIRE_H
#define KP_WIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

enum wire_kind { WIRE_U64, WIRE_STR, WIRE_FD };

struct wire_field {
	const char *name;
	enum wire_kind kind;
	uint64_t max;
};

struct wire_type {
	const char *name;
	const struct wire_field *fields;
	size_t n;
	size_t struct_size;
};

/*
 * The X-macro's two readings: struct member, and field row. The offset of a field in its struct
 * follows from the kinds before it, so a row need not know its struct.
 */
#define WIRE_MEMBER_U64 uint64_t
#define WIRE_MEMBER_STR struct str
#define WIRE_MEMBER_FD int
#define WIRE_MEMBER(kind, name, max) WIRE_MEMBER_##kind name;
#define WIRE_ROW(kind, name, max) {#name, WIRE_##kind, (max)},
/* clang-format off */
#define WIRE_ROW_END {NULL, WIRE_U64, 0}
#define WIRE_TYPE(tag, record) {#tag, tag##_rows, NELEM(tag##_rows) - 1, sizeof(record)}
/* clang-format on */

enum { WIRE_FDS_MAX = 4 };

/*
 * Appends the fields of `record` (the type's struct) to `b`, and its descriptors to `fds` (at most
 * WIRE_FDS_MAX, *nfds counts on). Returns -1 where a field is over its bound or the buffer is full;
 * `b` is then as before.
 */
int wire_encode(const struct wire_type *type, const void *record, struct buf *b, int *fds,
    size_t *nfds, struct why *why) KP_MUST_USE;

/* A place for the walk over a record: where field `f` lies, given the end of the one before it;
 * moves the end on. */
void *wire_place(const struct wire_field *f, const void *record, size_t *end);

/*
 * Reads exactly `bytes` into `record`; text points into `bytes`, descriptors are taken from `fds`
 * in order. Any missing, unknown, repeated, oversized or trailing thing is an error (-1), and so is
 * a descriptor too few or too many. The descriptors remain the caller's to close on failure.
 */
int wire_decode(const struct wire_type *type, struct str bytes, const int *fds, size_t nfds,
    void *record, struct why *why) KP_MUST_USE;

#endif
