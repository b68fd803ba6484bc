/* SPDX-License-Identifier: ISC */
/*
 * From wire form to Unix form, byte by byte through a buffer: a CR is held back until the next byte
 * is known, and so are bytes that may turn out to be "From " at the start of a line. Hostile input:
 * the content.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/io.h"
#include "local/agent/agent.h"

enum { ROOM = 64 * 1024 };

static const char from[] = "From ";

struct writer {
	int fd;
	bool mbox;
	bool failed;
	bool cr;       /* one is held back */
	bool at_start; /* of a line */
	size_t match;  /* bytes of `from` that are held back */
	size_t n;
	char room[ROOM];
};

static void
flush(struct writer *w)
{
	if (!w->failed && write_all(w->fd, w->room, w->n) == -1)
		w->failed = true;
	w->n = 0;
}

static void
put(struct writer *w, char c)
{
	if (w->n == ROOM)
		flush(w);
	w->room[w->n++] = c;
	w->at_start = c == '\n';
}

/* What was held back was no "From ": it goes out as it is. */
static void
match_release(struct writer *w)
{
	size_t n = w->match;

	w->match = 0;
	for (size_t i = 0; i < n; i++)
		put(w, from[i]);
}

static void
put_text(struct writer *w, char c)
{
	if (w->mbox && (w->match > 0 || w->at_start) && c == from[w->match]) {
		if (++w->match < sizeof from - 1)
			return;
		put(w, '>');
		match_release(w);
		return;
	}
	match_release(w);
	put(w, c);
}

static void
feed(struct writer *w, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (w->cr && p[i] != '\n')
			put_text(w, '\r');
		w->cr = p[i] == '\r';
		if (!w->cr)
			put_text(w, p[i]);
	}
}

static int
feed_content(struct writer *w, const struct request *r, struct why *why)
{
	char part[ROOM];

	if (r->content == -1) {
		feed(w, r->bytes.p, r->bytes.n);
		return 0;
	}
	for (uint64_t at = 0; at < r->size && !w->failed;) {
		size_t n = r->size - at < sizeof part ? (size_t)(r->size - at) : sizeof part;
		if (pread_all(r->content, part, n, (off_t)(r->offset + at)) == -1)
			return why_sys(why, "4.3.0", "read the message");
		feed(w, part, n);
		at += n;
	}
	return 0;
}

int
content_write(const struct request *r, int fd, bool mbox, struct why *why)
{
	struct writer w = {.fd = fd, .at_start = true};

	feed(&w, r->headers, strlen(r->headers));
	w.mbox = mbox;
	if (feed_content(&w, r, why) == -1)
		return -1;
	if (w.cr)
		put_text(&w, '\r');
	match_release(&w);
	if (!w.at_start)
		put(&w, '\n');
	flush(&w);
	return w.failed ? why_file(why, "4.3.0", "write the message") : 0;
}
