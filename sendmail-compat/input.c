/* SPDX-License-Identifier: ISC */
/*
 * Standard input to wire form: every line end (LF, CRLF, a lone CR) becomes CRLF, a last line
 * without one gets it, mbox "From " lines at the start go. Nothing else is changed, and no length
 * is too long: what is not accepted is refused whole, further on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "sendmail-compat/sendmail.h"

enum { PART = 64 * 1024 };

struct input {
	struct buf *out;
	struct buf line;
	bool ignore_dots;
	bool started; /* a line that is no "From " has come */
	bool ended;   /* a line with a single dot has come */
	bool after_cr;
};

static bool
is_from_line(struct str line)
{
	while (line.n > 0 && line.p[0] == '>')
		line = str_from_at(line, 1);
	return str_starts(line, STR("From "));
}

static int
end_line(struct input *in)
{
	struct str line = buf_view(&in->line);
	int result = 0;

	if (!in->ignore_dots && str_is(line, "."))
		in->ended = true;
	else if (in->started || !is_from_line(line)) {
		in->started = true;
		result = buf_str(in->out, line) == -1 || buf_puts(in->out, "\r\n") == -1 ? -1 : 0;
	}
	buf_reset(&in->line);
	return result;
}

/* Up to the next CR or LF; how many bytes were used, or -1 over the limit. */
static ssize_t
take_part(struct input *in, struct str part)
{
	size_t n = 0;

	if (in->after_cr) {
		in->after_cr = false;
		if (part.p[0] == '\n')
			return 1;
	}
	while (n < part.n && part.p[n] != '\n' && part.p[n] != '\r')
		n++;
	if (buf_add(&in->line, part.p, n) == -1)
		return -1;
	if (n == part.n)
		return (ssize_t)n;
	in->after_cr = part.p[n] == '\r';
	return end_line(in) == -1 ? -1 : (ssize_t)n + 1;
}

int
input_read(struct buf *content, bool ignore_dots, int fd, struct why *why)
{
	struct input in = {
	    .out = content, .line = {.max = content->max}, .ignore_dots = ignore_dots};
	char part[PART];
	ssize_t n = 0;
	int result = -1;

	while (!in.ended && (n = read(fd, part, sizeof part)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			why_sys(why, "4.3.0", "read standard input");
			goto done;
		}
		for (struct str rest = str_make(part, (size_t)n); rest.n > 0 && !in.ended;) {
			ssize_t used = take_part(&in, rest);
			if (used == -1)
				goto too_large;
			rest = str_from_at(rest, (size_t)used);
		}
	}
	if (in.line.n > 0 && end_line(&in) == -1)
		goto too_large;
	result = 0;
	goto done;
too_large:
	why_perm(why, "5.3.4", "the message is larger than %zu bytes", content->max);
done:
	buf_free(&in.line);
	return result;
}
