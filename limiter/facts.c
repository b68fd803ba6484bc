/* SPDX-License-Identifier: ISC */
/*
 * One line a change: "CHECKSUM first expires count kind key text", key and text in hexadecimal. A
 * count of expires 0 says that the fact is gone. The checksum finds a line that a power cut tore or
 * a disk changed; such a line is as if it had never been written.
 */
#include "limiter/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"

enum {
	SWEEP = 1000,             /* facts looked at in one flush */
	LINE_MAX_ = 16 * 1024,    /* of the journal */
	PENDING_MAX = 16 << 20,   /* waits to be written */
	REWRITE_AT = 1 << 20,     /* a journal smaller than this is never rewritten */
	REWRITE_FACTOR = 4,       /* ... and then when it is so many times what it says */
	JOURNAL_MAX = 1024 << 20, /* more than this is not read */
};

TAILQ_HEAD(fact_list, fact);

struct facts {
	struct map *map;
	struct fact_list list; /* the least recently used first */
	size_t max;
	char *path, *scratch;
	int fd;
	struct buf pending;
	uint64_t written, live; /* octets of the journal, and of the facts that hold */
};

static int64_t
now_s(void)
{
	return wall_us() / 1000000;
}

/* --- facts in memory --- */

static char *
name_make(struct str kind, struct str key)
{
	return xasprintf("%.*s %.*s", STR_ARG(kind), STR_ARG(key));
}

static size_t
line_size(const struct fact *fact)
{
	return 64 + 2 * strlen(fact->key) + 2 * strlen(fact->text);
}

static void
fact_drop(struct facts *f, struct fact *fact)
{
	(void)map_take(f->map, str_from(fact->name));
	TAILQ_REMOVE(&f->list, fact, link);
	f->live -= line_size(fact);
	free((char *)(uintptr_t)fact->kind);
	free(fact->text);
	free(fact->name);
	free(fact);
}

static struct fact *
find(struct facts *f, struct str kind, struct str key)
{
	char *name = name_make(kind, key);
	struct fact *fact = map_get(f->map, str_from(name));

	free(name);
	return fact;
}

static struct fact *
store(struct facts *f, struct str kind, struct str key, int64_t first, int64_t expires,
    uint64_t count, struct str text)
{
	struct fact *fact = find(f, kind, key);

	if (fact == NULL) {
		if (map_count(f->map) >= f->max)
			fact_drop(f, TAILQ_FIRST(&f->list));
		fact = xcalloc(1, sizeof *fact);
		fact->name = name_make(kind, key);
		fact->kind = str_dup(kind);
		fact->key = fact->name + kind.n + 1;
		fact->first = first;
		(void)map_put(f->map, str_from(fact->name), fact);
	} else {
		f->live -= line_size(fact);
		TAILQ_REMOVE(&f->list, fact, link);
		free(fact->text);
	}
	fact->expires = expires;
	fact->count = count;
	fact->text = str_dup(text);
	f->live += line_size(fact);
	TAILQ_INSERT_TAIL(&f->list, fact, link);
	return fact;
}

/* --- the journal --- */

static uint32_t
checksum(struct str line)
{
	return XXH32(line.p, line.n, 0);
}

static int
add_hex(struct buf *b, const char *text)
{
	if (*text == '\0')
		return buf_byte(b, '-');
	for (; *text != '\0'; text++)
		if (buf_printf(b, "%02x", (unsigned)(unsigned char)*text) == -1)
			return -1;
	return 0;
}

static int
add_line(struct buf *out, const struct fact *fact, bool gone)
{
	struct buf line;
	int result = -1;

	buf_init(&line, LINE_MAX_);
	if (buf_printf(&line, "%" PRId64 " %" PRId64 " %" PRIu64 " %s ", fact->first,
		gone ? 0 : fact->expires, fact->count, fact->kind) == 0 &&
	    add_hex(&line, fact->key) == 0 && buf_byte(&line, ' ') == 0 &&
	    add_hex(&line, fact->text) == 0)
		result = buf_printf(out, "%08x %s\n", checksum(buf_view(&line)), buf_cstr(&line));
	buf_free(&line);
	return result;
}

/* A change that finds no room is written with the next rewrite. */
static void
note(struct facts *f, const struct fact *fact, bool gone)
{
	if (add_line(&f->pending, fact, gone) == -1)
		f->written = UINT64_MAX / 2;
}

static int
nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Text without NUL; false where it is no hexadecimal. */
static bool
parse_hex(struct str word, struct buf *out)
{
	buf_reset(out);
	if (str_is(word, "-"))
		return true;
	for (size_t i = 0; i + 1 < word.n; i += 2) {
		int high = nibble(word.p[i]), low = nibble(word.p[i + 1]);
		if (high < 0 || low < 0 || (high == 0 && low == 0) ||
		    buf_byte(out, (char)(high << 4 | low)) == -1)
			return false;
	}
	return word.n % 2 == 0 && out->n > 0;
}

static bool
parse_checksum(struct str word, uint32_t *sum)
{
	*sum = 0;
	for (size_t i = 0; i < word.n; i++) {
		int digit = nibble(word.p[i]);
		if (digit < 0)
			return false;
		*sum = *sum << 4 | (uint32_t)digit;
	}
	return word.n == 8;
}

static void
read_line(struct facts *f, struct str line, struct buf *key, struct buf *text)
{
	struct str word[6], rest = str_from_at(line, 9);
	uint64_t first, expires, count;
	uint32_t sum;
	size_t n = 0;

	if (!parse_checksum(str_sub(line, 0, 8), &sum) || sum != checksum(rest))
		return;
	while (n < NELEM(word) && str_word(&rest, " ", &word[n]))
		n++;
	if (n != NELEM(word) || str_chr(word[3], '\0') >= 0 ||
	    !str_u64(word[0], INT64_MAX, &first) || !str_u64(word[1], INT64_MAX, &expires) ||
	    !str_u64(word[2], UINT64_MAX, &count) || !parse_hex(word[4], key) ||
	    !parse_hex(word[5], text))
		return;
	if ((int64_t)expires > now_s()) {
		(void)store(f, word[3], buf_view(key), (int64_t)first, (int64_t)expires, count,
		    buf_view(text));
		return;
	}
	struct fact *gone = find(f, word[3], buf_view(key));
	if (gone != NULL)
		fact_drop(f, gone);
}

static void
read_all(struct facts *f, struct str all)
{
	struct buf key, text;
	ptrdiff_t end;

	buf_init(&key, LINE_MAX_);
	buf_init(&text, LINE_MAX_);
	for (; (end = str_chr(all, '\n')) >= 0; all = str_from_at(all, (size_t)end + 1))
		read_line(f, str_sub(all, 0, (size_t)end), &key, &text);
	buf_free(&key);
	buf_free(&text);
}

struct facts *
facts_open(const char *folder, size_t max, struct why *why)
{
	struct facts *f = xcalloc(1, sizeof *f);
	struct buf all;

	*f = (struct facts){.map = map_new(), .max = max, .fd = -1};
	TAILQ_INIT(&f->list);
	buf_init(&f->pending, PENDING_MAX);
	f->path = xasprintf("%s/facts", folder);
	f->scratch = xasprintf("%s/facts.new", folder);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd == -1) {
		why_sys(why, NULL, "open %s", f->path);
		facts_free(&f);
		return NULL;
	}
	buf_init(&all, JOURNAL_MAX);
	if (file_read(AT_FDCWD, f->path, &all, why) == 0) {
		read_all(f, buf_view(&all));
		f->written = all.n;
		if (all.n > 0 && all.p[all.n - 1] != '\n')
			f->written = UINT64_MAX / 2; /* torn: nothing is appended to it */
	} else {
		f->written = UINT64_MAX / 2;
	}
	buf_free(&all);
	return f;
}

void
facts_free(struct facts **fp)
{
	struct facts *f = *fp;
	struct fact *fact;

	*fp = NULL;
	if (f == NULL)
		return;
	while ((fact = TAILQ_FIRST(&f->list)) != NULL)
		fact_drop(f, fact);
	map_free(&f->map, NULL);
	buf_free(&f->pending);
	fd_close(&f->fd);
	free(f->path);
	free(f->scratch);
	free(f);
}

/* --- the interface --- */

struct fact *
facts_get(struct facts *f, struct str kind, struct str key)
{
	struct fact *fact = find(f, kind, key);

	if (fact == NULL || fact->expires > now_s())
		return fact;
	fact_drop(f, fact);
	return NULL;
}

struct fact *
facts_put(struct facts *f, struct str kind, struct str key, int64_t ttl_s, uint64_t count,
    struct str text)
{
	int64_t now = now_s();

	(void)facts_get(f, kind, key); /* one that is over begins anew */
	struct fact *fact = store(f, kind, key, now, now + ttl_s, count, text);
	note(f, fact, false);
	return fact;
}

bool
facts_remove(struct facts *f, struct str kind, struct str key)
{
	struct fact *fact = facts_get(f, kind, key);

	if (fact == NULL)
		return false;
	note(f, fact, true);
	fact_drop(f, fact);
	return true;
}

void
facts_each(
    struct facts *f, struct str kind, void (*each)(const struct fact *, void *arg), void *arg)
{
	int64_t now = now_s();
	struct fact *fact;

	TAILQ_FOREACH (fact, &f->list, link)
		if (str_is(kind, fact->kind) && fact->expires > now)
			each(fact, arg);
}

size_t
facts_count(const struct facts *f)
{
	return map_count(f->map);
}

static void
sweep(struct facts *f)
{
	struct fact *fact = TAILQ_FIRST(&f->list), *next;
	int64_t now = now_s();

	for (int i = 0; fact != NULL && i < SWEEP; i++, fact = next) {
		next = TAILQ_NEXT(fact, link);
		if (fact->expires <= now)
			fact_drop(f, fact);
	}
}

/* All that holds, in a new file that takes the old one's place. */
static int
rewrite(struct facts *f, struct why *why)
{
	struct buf all;
	struct fact *fact;
	int fd = open(
	    f->scratch, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return why_sys(why, NULL, "open %s", f->scratch);
	buf_init(&all, JOURNAL_MAX);
	TAILQ_FOREACH (fact, &f->list, link)
		(void)add_line(
		    &all, fact, false); /* one too long for a line is kept in memory only */
	if (write_all(fd, buf_cstr(&all), all.n) == -1 || rename(f->scratch, f->path) == -1) {
		why_sys(why, NULL, "write %s", f->scratch);
		buf_free(&all);
		close(fd);
		return -1;
	}
	f->written = all.n;
	buf_free(&all);
	buf_reset(&f->pending);
	close(f->fd);
	f->fd = fd;
	return 0;
}

int
facts_flush(struct facts *f, struct why *why)
{
	sweep(f);
	if (f->written > REWRITE_AT && f->written / REWRITE_FACTOR > f->live)
		return rewrite(f, why);
	if (f->pending.n == 0)
		return 0;
	if (write_all(f->fd, f->pending.p, f->pending.n) == -1) {
		why_sys(why, NULL, "write %s", f->path);
		f->written = UINT64_MAX / 2; /* it may be torn */
		return -1;
	}
	f->written += f->pending.n;
	buf_free(&f->pending);
	return 0;
}
