/* SPDX-License-Identifier: ISC */
/*
 * Encoding: for each field in its order one byte, the field's place counted from 1, then 8 bytes
 * (U64) or a 4-byte length and the bytes (STR), or one byte, 1 or 0, for a descriptor that comes
 * along or not (FD). All numbers little-endian. Hostile input: every byte that wire_decode() reads.
 */
#include "lib/wire/wire.h"

#include <endian.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"

static const struct {
	size_t size, align;
} members[] = {
    [WIRE_U64] = {sizeof(uint64_t),   _Alignof(uint64_t)  },
    [WIRE_STR] = {sizeof(struct str), _Alignof(struct str)},
    [WIRE_FD] = {sizeof(int),        _Alignof(int)       },
};

void *
wire_place(const struct wire_field *f, const void *record, size_t *end)
{
	size_t align = members[f->kind].align;
	size_t at = (*end + align - 1) / align * align;

	*end = at + members[f->kind].size;
	return (char *)(uintptr_t)record + at;
}

static int
encode_field(const struct wire_field *f, const char *at, struct buf *b, int *fds, size_t *nfds)
{
	switch (f->kind) {
	case WIRE_U64: {
		uint64_t value;
		memcpy(&value, at, sizeof value);
		if (f->max != 0 && value > f->max)
			return -1;
		value = htole64(value);
		return buf_add(b, &value, sizeof value);
	}
	case WIRE_STR: {
		struct str s;
		memcpy(&s, at, sizeof s);
		if (s.n > f->max)
			return -1;
		uint32_t n = htole32((uint32_t)s.n);
		if (buf_add(b, &n, sizeof n) == -1)
			return -1;
		return buf_str(b, s);
	}
	case WIRE_FD: {
		int fd;
		memcpy(&fd, at, sizeof fd);
		if (fd >= 0) {
			if (nfds == NULL || *nfds >= WIRE_FDS_MAX)
				return -1;
			fds[(*nfds)++] = fd;
		}
		return buf_byte(b, fd >= 0);
	}
	}
	return -1;
}

int
wire_encode(const struct wire_type *type, const void *record, struct buf *b, int *fds, size_t *nfds,
    struct why *why)
{
	size_t start = b->n, start_fds = nfds != NULL ? *nfds : 0, end = 0;

	for (size_t i = 0; i < type->n; i++) {
		const struct wire_field *f = &type->fields[i];
		if (buf_byte(b, (char)(i + 1)) == -1 ||
		    encode_field(f, wire_place(f, record, &end), b, fds, nfds) == -1) {
			buf_cut(b, start);
			if (nfds != NULL)
				*nfds = start_fds;
			return why_temp(
			    why, "4.3.0", "%s: field %s does not fit", type->name, f->name);
		}
	}
	return 0;
}

/* Cuts `n` bytes off the front; false where there are fewer. */
static bool
take(struct str *rest, size_t n, const char **p)
{
	if (rest->n < n)
		return false;
	*p = rest->p;
	*rest = str_from_at(*rest, n);
	return true;
}

static bool
decode_u64(const struct wire_field *f, struct str *rest, char *to)
{
	const char *p;
	uint64_t value;

	if (!take(rest, sizeof value, &p))
		return false;
	memcpy(&value, p, sizeof value);
	value = le64toh(value);
	memcpy(to, &value, sizeof value);
	return f->max == 0 || value <= f->max;
}

static bool
decode_str(const struct wire_field *f, struct str *rest, char *to)
{
	const char *p;
	uint32_t n;

	if (!take(rest, sizeof n, &p))
		return false;
	memcpy(&n, p, sizeof n);
	struct str s = {.n = le32toh(n)};
	if (s.n > f->max || !take(rest, s.n, &s.p))
		return false;
	memcpy(to, &s, sizeof s);
	return true;
}

static bool
decode_fd(struct str *rest, char *to, const int *fds, size_t nfds, size_t *used)
{
	const char *p;
	int fd = -1;

	if (!take(rest, 1, &p) || (unsigned char)*p > 1)
		return false;
	if (*p == 1) {
		if (*used >= nfds)
			return false;
		fd = fds[(*used)++];
	}
	memcpy(to, &fd, sizeof fd);
	return true;
}

int
wire_decode(const struct wire_type *type, struct str bytes, const int *fds, size_t nfds,
    void *record, struct why *why)
{
	size_t used = 0, end = 0;

	memset(record, 0, type->struct_size);
	for (size_t i = 0; i < type->n; i++) {
		const struct wire_field *f = &type->fields[i];
		char *to = wire_place(f, record, &end);
		const char *place;
		bool fine = take(&bytes, 1, &place) && (unsigned char)*place == i + 1;

		switch (f->kind) {
		case WIRE_U64:
			fine = fine && decode_u64(f, &bytes, to);
			break;
		case WIRE_STR:
			fine = fine && decode_str(f, &bytes, to);
			break;
		case WIRE_FD:
			fine = fine && decode_fd(&bytes, to, fds, nfds, &used);
			break;
		}
		if (!fine)
			return why_perm(why, NULL, "%s: malformed field %s", type->name, f->name);
	}
	if (bytes.n != 0)
		return why_perm(why, NULL, "%s: %zu trailing bytes", type->name, bytes.n);
	if (used != nfds)
		return why_perm(why, NULL, "%s: unexpected descriptor", type->name);
	return 0;
}
