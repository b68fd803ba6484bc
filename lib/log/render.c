/* SPDX-License-Identifier: ISC */
/*
 * One event, rendered twice. The text is made from the event's template: "{field}" is a value,
 * "{?field: ...}" stands only where the field is not empty (or 0), "{!field: ...}" only where it
 * is. Values come from outside: whatever is not printable is made visible as \ooo in text and
 * \u00xx in JSON, bytes that are not UTF-8 as U+FFFD there.
 */
#include <inttypes.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"

/* Log lines are cut at their bound rather than refused: (void) on the appends of this file. */
#define APPEND(call) ((void)!(call))

struct value {
	enum wire_kind kind;
	struct str text;
	uint64_t number;
};

static bool
find_value(const struct wire_type *type, const void *record, struct str name, struct value *v)
{
	size_t end = 0;

	for (size_t i = 0; i < type->n; i++) {
		const struct wire_field *f = &type->fields[i];
		const void *at = wire_place(f, record, &end);
		if (!str_is(name, f->name))
			continue;
		*v = (struct value){.kind = f->kind};
		if (f->kind == WIRE_STR)
			memcpy(&v->text, at, sizeof v->text);
		else
			memcpy(&v->number, at, sizeof v->number);
		return true;
	}
	return false;
}

static bool
is_empty(const struct value *v)
{
	return v->kind == WIRE_STR ? v->text.n == 0 : v->number == 0;
}

static void
add_visible(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < ' ' || c == 0x7f)
			APPEND(buf_printf(out, "\\%03o", c));
		else
			APPEND(buf_byte(out, (char)c));
	}
}

static void
add_value(const struct value *v, struct buf *out)
{
	if (v->kind == WIRE_STR)
		add_visible(v->text, out);
	else
		APPEND(buf_printf(out, "%" PRIu64, v->number));
}

/* The index of the brace that closes the one before `s`. */
static size_t
closing_brace(struct str s)
{
	size_t depth = 1;

	for (size_t i = 0; i < s.n; i++) {
		depth += s.p[i] == '{';
		depth -= s.p[i] == '}';
		if (depth == 0)
			return i;
	}
	panic("log template: no closing brace in \"%.*s\"", STR_ARG(s));
}

static void render(
    const struct log_form *form, const void *record, struct str text, struct buf *out, int depth);

static void
render_braced(
    const struct log_form *form, const void *record, struct str inner, struct buf *out, int depth)
{
	struct value v;
	bool conditional = inner.n > 0 && (inner.p[0] == '?' || inner.p[0] == '!');
	ptrdiff_t colon = conditional ? str_chr(inner, ':') : -1;
	struct str name = colon > 0 ? str_sub(inner, 1, (size_t)colon - 1) : inner;

	if (!find_value(&form->type, record, name, &v))
		panic("log template of %s: no field %.*s", form->type.name, STR_ARG(name));
	if (!conditional)
		add_value(&v, out);
	else if (is_empty(&v) == (inner.p[0] == '!'))
		render(form, record, str_from_at(inner, (size_t)colon + 1), out, depth + 1);
}

static void
render(const struct log_form *form, const void *record, struct str text, struct buf *out, int depth)
{
	if (depth > 3)
		panic("log template of %s: too deep", form->type.name);
	while (text.n > 0) {
		ptrdiff_t open = str_chr(text, '{');
		if (open == -1) {
			APPEND(buf_str(out, text));
			return;
		}
		APPEND(buf_str(out, str_sub(text, 0, (size_t)open)));
		text = str_from_at(text, (size_t)open + 1);
		size_t close = closing_brace(text);
		render_braced(form, record, str_sub(text, 0, close), out, depth);
		text = str_from_at(text, close + 1);
	}
}

void
log_render_text(const struct log_form *form, const void *record, struct buf *out)
{
	render(form, record, str_from(form->text), out, 0);
}

/* The length of the UTF-8 sequence at the front of `s` (RFC 3629), 0 where there is none. */
static size_t
utf8_length(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void
log_json_text(struct str s, struct buf *out)
{
	APPEND(buf_byte(out, '"'));
	while (s.n > 0) {
		unsigned char c = (unsigned char)s.p[0];
		size_t n = utf8_length(s);
		if (n == 0) {
			APPEND(buf_puts(out, "\\ufffd"));
			n = 1;
		} else if (c < ' ' || c == 0x7f) {
			APPEND(buf_printf(out, "\\u%04x", c));
		} else if (c == '"' || c == '\\') {
			APPEND(buf_printf(out, "\\%c", c));
		} else {
			APPEND(buf_add(out, s.p, n));
		}
		s = str_from_at(s, n);
	}
	APPEND(buf_byte(out, '"'));
}

void
log_render_json(const struct log_form *form, const void *record, struct buf *out)
{
	for (size_t i = 0; i < form->type.n; i++) {
		const struct wire_field *f = &form->type.fields[i];
		struct value v = {0};
		find_value(&form->type, record, str_from(f->name), &v);
		if (v.kind == WIRE_STR && v.text.n == 0)
			continue;
		APPEND(buf_printf(out, ",\"%s\":", f->name));
		if (v.kind == WIRE_STR)
			log_json_text(v.text, out);
		else
			APPEND(buf_printf(out, "%" PRIu64, v.number));
	}
}
