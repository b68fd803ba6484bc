/* SPDX-License-Identifier: ISC */
/*
 * Lines to entries. The reader knows nothing of which settings exist: lib/conf/config.c checks
 * that. Faults are collected, and reading goes on behind each.
 */
#include "lib/conf/file.h"

#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"

enum { FILE_SIZE_MAX = 4 * 1024 * 1024, INCLUDE_DEPTH_MAX = 8 };

struct reader {
	struct conf_file *cf;
	struct buf *errors;
	struct conf_place place;
	size_t section; /* that we are in, as in struct conf_entry */
	size_t indent;  /* of the line that began the last entry */
	bool can_continue;
	bool includes;
	unsigned depth;
};

static void read_path(struct reader *r, const char *path);

static void fault(struct reader *r, const char *fmt, ...) KP_PRINTF(2, 3);

static void
fault(struct reader *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->cf->faults++;
	/* Where so many faults fill the buffer, the count still tells. */
	(void)!buf_printf(r->errors, "%s:%u: %s\n", r->place.file, r->place.line, text);
}

static bool
is_name(struct str s)
{
	if (s.n == 0 || s.n > 120)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '_' || c == '-'))
			return false;
	}
	return true;
}

static void
add_entry(struct reader *r, struct str name, struct str value)
{
	struct conf_file *cf = r->cf;

	cf->entries = xrealloc(cf->entries, (cf->nentries + 1) * sizeof *cf->entries);
	cf->entries[cf->nentries++] =
	    (struct conf_entry){str_dup(name), str_dup(value), r->section, r->place};
}

static void
continue_entry(struct reader *r, struct str line)
{
	struct conf_entry *e = &r->cf->entries[r->cf->nentries - 1];
	char *longer = xasprintf("%s %.*s", e->value, STR_ARG(line));

	free(e->value);
	e->value = longer;
}

static void
begin_section(struct reader *r, struct str rest)
{
	struct conf_file *cf = r->cf;

	if (!str_ends(rest, STR("{"))) {
		fault(r, "expected \"service NAME {\"");
		return;
	}
	struct str name = str_trim(str_sub(rest, 0, rest.n - 1));
	if (r->section != 0) {
		fault(r, "a service section inside another; \"}\" is missing before it");
		return;
	}
	if (!is_name(name)) {
		fault(r, "expected a service's name of letters, digits, - and _, not \"%.*s\"",
		    STR_ARG(name));
		name = STR("?");
	}
	for (size_t i = 0; i < cf->nsections; i++)
		if (str_is(name, cf->sections[i].name))
			fault(r, "service %.*s is declared before, at %s:%u", STR_ARG(name),
			    cf->sections[i].place.file, cf->sections[i].place.line);
	cf->sections = xrealloc(cf->sections, (cf->nsections + 1) * sizeof *cf->sections);
	cf->sections[cf->nsections++] = (struct conf_section){str_dup(name), r->place};
	r->section = cf->nsections;
}

static void
include(struct reader *r, struct str path)
{
	char full[PATH_MAX], dir[PATH_MAX];

	if (!r->includes)
		return;
	if (r->depth >= INCLUDE_DEPTH_MAX) {
		fault(r, "include: more than %d files deep", INCLUDE_DEPTH_MAX);
		return;
	}
	snprintf(dir, sizeof dir, "%s", r->place.file);
	const char *base = path.n > 0 && path.p[0] == '/' ? "" : dirname(dir);
	int n =
	    snprintf(full, sizeof full, "%s%s%.*s", base, *base != '\0' ? "/" : "", STR_ARG(path));
	if (n < 0 || (size_t)n >= sizeof full) {
		fault(r, "include: the path is too long");
		return;
	}
	struct conf_place here = r->place;
	r->depth++;
	read_path(r, full);
	r->depth--;
	r->place = here;
}

static void
read_statement(struct reader *r, struct str line)
{
	ptrdiff_t equals = str_chr(line, '=');
	struct str rest = line, word;

	if (str_is(line, "}")) {
		if (r->section == 0)
			fault(r, "a } without its section");
		r->section = 0;
		return;
	}
	if (str_word(&rest, " \t", &word) && str_is(word, "service") && equals == -1) {
		begin_section(r, str_trim(rest));
		return;
	}
	if (str_is(word, "include") && equals == -1) {
		include(r, str_trim(rest));
		return;
	}
	struct str name = equals > 0 ? str_trim(str_sub(line, 0, (size_t)equals)) : STR_EMPTY;
	if (!is_name(name)) {
		fault(r,
		    "expected \"setting = value\", \"service NAME {\", \"}\" or \"include PATH\", "
		    "not \"%.*s\"",
		    (int)(line.n < 60 ? line.n : 60), line.p);
		return;
	}
	add_entry(r, name, str_trim(str_from_at(line, (size_t)equals + 1)));
	r->can_continue = true;
}

static size_t
indent_of(struct str line)
{
	size_t columns = 0;

	for (size_t i = 0; i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'); i++)
		columns = line.p[i] == '\t' ? columns / 8 * 8 + 8 : columns + 1;
	return columns;
}

static void
read_line(struct reader *r, struct str raw)
{
	struct str line = str_trim(raw);
	size_t indent = indent_of(raw);

	if (line.n == 0 || line.p[0] == '#')
		return;
	if (memchr(line.p, '\0', line.n) != NULL) {
		fault(r, "a NUL in the line");
		return;
	}
	if (r->can_continue && indent > r->indent && !str_is(line, "}")) {
		continue_entry(r, line);
		return;
	}
	r->can_continue = false;
	r->indent = indent;
	read_statement(r, line);
}

static void
read_text(struct reader *r, struct str text)
{
	size_t outer = r->section;

	r->place.line = 0;
	r->can_continue = false;
	while (text.n > 0) {
		ptrdiff_t eol = str_chr(text, '\n');
		struct str line = eol == -1 ? text : str_sub(text, 0, (size_t)eol);
		r->place.line++;
		read_line(r, line);
		text = str_from_at(text, line.n + 1);
	}
	if (r->section != outer) {
		fault(r, "the section \"service %s\" is not closed by \"}\"",
		    r->section > 0 ? r->cf->sections[r->section - 1].name : "?");
		r->section = outer;
	}
	r->can_continue = false;
}

static void
begin_file(struct reader *r, const char *path)
{
	struct conf_file *cf = r->cf;

	cf->names = xrealloc(cf->names, (cf->nnames + 1) * sizeof *cf->names);
	r->place.file = cf->names[cf->nnames++] = xstrdup(path);
}

static void
read_path(struct reader *r, const char *path)
{
	struct buf text;
	struct why why;

	buf_init(&text, FILE_SIZE_MAX);
	if (file_read(AT_FDCWD, path, &text, &why) == 0) {
		begin_file(r, path);
		read_text(r, buf_view(&text));
	} else if (r->depth > 0) {
		fault(r, "include: %s", why.text);
	} else {
		begin_file(r, path);
		r->place.line = 1;
		fault(r, "%s", why.text);
	}
	buf_free(&text);
}

struct conf_file *
conf_file_read(const char *path, struct buf *errors)
{
	struct reader r = {.cf = xcalloc(1, sizeof *r.cf), .errors = errors, .includes = true};

	read_path(&r, path);
	return r.cf;
}

struct conf_file *
conf_file_parse(const char *path, struct str text, struct buf *errors)
{
	struct reader r = {.cf = xcalloc(1, sizeof *r.cf), .errors = errors};

	begin_file(&r, path);
	read_text(&r, text);
	return r.cf;
}

void
conf_file_free(struct conf_file **cfp)
{
	struct conf_file *cf = *cfp;

	*cfp = NULL;
	if (cf == NULL)
		return;
	for (size_t i = 0; i < cf->nentries; i++) {
		free(cf->entries[i].name);
		free(cf->entries[i].value);
	}
	for (size_t i = 0; i < cf->nsections; i++)
		free(cf->sections[i].name);
	for (size_t i = 0; i < cf->nnames; i++)
		free(cf->names[i]);
	free(cf->entries);
	free(cf->sections);
	free(cf->names);
	free(cf);
}
