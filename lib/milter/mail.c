/* SPDX-License-Identifier: ISC */
/* Edits of a header are made in its text: fields are found, a new text is put in their place. */
#include "lib/milter/mail.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/header.h"

void
milter_mail_init(struct milter_mail *mail, size_t header_max, size_t body_max)
{
	*mail = (struct milter_mail){.fd = -1};
	buf_init(&mail->header, header_max);
	buf_init(&mail->before, header_max);
	buf_init(&mail->replaced, body_max);
	buf_init(&mail->coming, body_max);
}

/* Frees a body that was counted. */
static void
drop_body(struct milter_mail *mail, struct buf *body)
{
	if (mail->budget != NULL)
		mail->budget->held -= body->n;
	buf_free(body);
}

void
milter_mail_clear(struct milter_mail *mail)
{
	buf_free(&mail->header);
	buf_free(&mail->before);
	drop_body(mail, &mail->replaced);
	drop_body(mail, &mail->coming);
	fd_close(&mail->fd);
}

int
milter_mail_memory(struct milter_mail *mail, struct str content)
{
	size_t n = header_size(content);

	mail->body = str_from_at(content, n);
	return buf_str(&mail->header, str_sub(content, 0, n));
}

int
milter_mail_file(
    struct milter_mail *mail, int fd, uint64_t at, uint64_t header, uint64_t size, struct why *why)
{
	char gap[2];

	mail->fd = fd;
	if (fd == -1 || header > size)
		return why_temp(why, "4.3.0", "the message is not where it should be");
	char *room = header <= mail->header.max ? buf_room(&mail->header, (size_t)header) : NULL;
	if (room == NULL)
		return why_perm(why, "5.6.0", "Error: the header is too large");
	mail->body_at = (off_t)(at + header);
	mail->body_size = size - header;
	if (pread_all(fd, room, (size_t)header, (off_t)at) == -1 ||
	    (mail->body_size >= sizeof gap && pread_all(fd, gap, sizeof gap, mail->body_at) == -1))
		return why_sys(why, "4.3.0", "read the message");
	buf_grown(&mail->header, (size_t)header);
	mail->gap = mail->body_size >= sizeof gap && memcmp(gap, "\r\n", sizeof gap) == 0;
	return 0;
}

void
milter_mail_begin(struct milter_mail *mail)
{
	buf_reset(&mail->before);
	if (buf_str(&mail->before, buf_view(&mail->header)) == -1)
		panic("milter: a header larger than its bound");
	mail->was_changed = mail->is_changed;
	mail->begun = true;
}

void
milter_mail_accept(struct milter_mail *mail)
{
	mail->begun = false;
	if (!mail->comes)
		return;
	mail->comes = false;
	drop_body(mail, &mail->replaced);
	mail->is_replaced = true;
	struct buf empty = mail->replaced;
	mail->replaced = mail->coming;
	mail->coming = empty;
}

void
milter_mail_revert(struct milter_mail *mail)
{
	if (!mail->begun)
		return;
	mail->begun = mail->comes = false;
	mail->is_changed = mail->was_changed;
	drop_body(mail, &mail->coming);
	struct buf header = mail->header;
	mail->header = mail->before;
	mail->before = header;
}

ssize_t
milter_mail_body(const struct milter_mail *mail, uint64_t at, char *out, size_t n)
{
	struct str body = mail->is_replaced ? buf_view(&mail->replaced) : mail->body;
	bool in_file = !mail->is_replaced && mail->fd != -1;
	uint64_t size = in_file ? mail->body_size : body.n;

	if (in_file ? mail->gap : str_starts(body, STR("\r\n")))
		at += 2;
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
splice(struct milter_mail *mail, size_t at, size_t size, struct str text)
{
	struct buf *header = &mail->header, all;

	buf_init(&all, header->max);
	if (buf_add(&all, header->p, at) == -1 || buf_str(&all, text) == -1 ||
	    buf_add(&all, header->p + at + size, header->n - at - size) == -1) {
		buf_free(&all);
		return -1;
	}
	buf_free(header);
	*header = all;
	mail->is_changed = true;
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
		result = splice(mail, at, size, buf_view(&field));
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
		return value.n == 0 ? splice(mail, f.offset, f.size, STR_EMPTY)
				    : put_field(mail, f.offset, f.size, name, value, lead);
	}
	return value.n == 0 ? 0 : milter_mail_add(mail, name, value, lead);
}

/* --- the body --- */

static int
add_body(struct buf *body, struct str part)
{
	for (size_t i = 0; i < part.n; i++) {
		bool bare = part.p[i] == '\n' && (body->n == 0 || body->p[body->n - 1] != '\r');
		if ((bare && buf_byte(body, '\r') == -1) || buf_byte(body, part.p[i]) == -1)
			return -1;
	}
	return 0;
}

int
milter_mail_replace(struct milter_mail *mail, struct str part)
{
	struct buf *body = &mail->coming;
	struct milter_budget *budget = mail->budget;
	size_t before = body->n;

	int rc = mail->comes ? 0 : buf_puts(body, "\r\n");
	mail->comes = true;
	if (rc == 0)
		rc = add_body(body, part);
	if (budget == NULL)
		return rc;
	budget->held += body->n - before;
	return budget->held > budget->max ? -1 : rc;
}
