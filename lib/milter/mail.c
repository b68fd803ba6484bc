/* SPDX-License-Identifier: ISC */
/* Edits of a header are made in its text: fields are found, a new text is put in their place. */
#include "lib/milter/mail.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/mail/header.h"

void
milter_mail_init(struct milter_mail *mail, size_t header_max, size_t body_max)
{
	*mail = (struct milter_mail){.fd = -1};
	buf_init(&mail->header, header_max);
	buf_init(&mail->replaced, body_max);
}

void
milter_mail_clear(struct milter_mail *mail)
{
	buf_free(&mail->header);
	buf_free(&mail->replaced);
}

ssize_t
milter_mail_body(const struct milter_mail *mail, uint64_t at, char *out, size_t n)
{
	struct str body = mail->is_replaced ? buf_view(&mail->replaced) : mail->body;
	bool in_file = !mail->is_replaced && mail->fd != -1;
	uint64_t size = in_file ? mail->body_size : body.n;

	at += 2; /* the empty line */
	if (at >= size)
		return 0;
	if (n > size - at)
		n = (size_t)(size - at);
	if (in_file)
		return pread_all(mail->fd, out, n, mail->body_at + (off_t)at) == -1 ? -1
										    : (ssize_t)n;
	memcpy(out, body.p + at, n);
	return (ssize_t)n;
}

/* --- the header --- */

static bool
name_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* The value in wire form: each of its lines but the first begins with a blank. */
static int
add_value(struct buf *out, struct str value)
{
	bool begins = false;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		if (c == '\r' || c == '\0')
			continue;
		if (c == '\n') {
			begins = true;
			continue;
		}
		if (begins && (buf_puts(out, "\r\n") == -1 ||
				  (c != ' ' && c != '\t' && buf_byte(out, '\t') == -1)))
			return -1;
		begins = false;
		if (buf_byte(out, c) == -1)
			return -1;
	}
	return 0;
}

static int
make_field(struct buf *out, struct str name, struct str value, bool lead)
{
	if (!name_valid(name))
		return -1;
	if (buf_str(out, name) == -1 || buf_puts(out, lead ? ":" : ": ") == -1 ||
	    add_value(out, value) == -1)
		return -1;
	return buf_puts(out, "\r\n");
}

/* Puts `text` in the place of `size` octets at `at`. */
static int
splice(struct buf *header, size_t at, size_t size, struct str text)
{
	struct buf all;

	buf_init(&all, header->max);
	if (buf_add(&all, header->p, at) == -1 || buf_str(&all, text) == -1 ||
	    buf_add(&all, header->p + at + size, header->n - at - size) == -1) {
		buf_free(&all);
		return -1;
	}
	buf_free(header);
	*header = all;
	return 0;
}

static int
put_field(
    struct milter_mail *mail, size_t at, size_t size, struct str name, struct str value, bool lead)
{
	struct buf field;
	int result = -1;

	buf_init(&field, mail->header.max);
	if (make_field(&field, name, value, lead) == 0)
		result = splice(&mail->header, at, size, buf_view(&field));
	buf_free(&field);
	return result;
}

int
milter_mail_add(struct milter_mail *mail, struct str name, struct str value, bool lead)
{
	return put_field(mail, mail->header.n, 0, name, value, lead);
}

int
milter_mail_insert(
    struct milter_mail *mail, uint32_t index, struct str name, struct str value, bool lead)
{
	struct header_field f;
	size_t offset = 0, at = 0;

	for (uint32_t i = 1; i < index; i++) {
		if (!header_next(buf_view(&mail->header), &offset, &f))
			break;
		at = offset;
	}
	return put_field(mail, at, 0, name, value, lead);
}

int
milter_mail_change(
    struct milter_mail *mail, uint32_t index, struct str name, struct str value, bool lead)
{
	struct header_field f;
	size_t offset = 0;
	uint32_t seen = 0;

	if (index == 0)
		index = 1;
	while (header_next(buf_view(&mail->header), &offset, &f)) {
		if (!str_caseeq(f.name, name) || ++seen < index)
			continue;
		return value.n == 0 ? splice(&mail->header, f.offset, f.size, STR_EMPTY)
				    : put_field(mail, f.offset, f.size, name, value, lead);
	}
	return value.n == 0 ? 0 : milter_mail_add(mail, name, value, lead);
}

/* --- the body --- */

int
milter_mail_replace(struct milter_mail *mail, struct str part)
{
	struct buf *body = &mail->replaced;

	if (!mail->is_replaced && buf_puts(body, "\r\n") == -1)
		return -1;
	mail->is_replaced = true;
	for (size_t i = 0; i < part.n; i++) {
		bool bare = part.p[i] == '\n' && (body->n == 0 || body->p[body->n - 1] != '\r');
		if ((bare && buf_byte(body, '\r') == -1) || buf_byte(body, part.p[i]) == -1)
			return -1;
	}
	return 0;
}
