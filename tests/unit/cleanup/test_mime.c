/* SPDX-License-Identifier: ISC */
/* The MIME walker: what a message's lines are taken for, however the message is cut. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "cleanup/mime.h"

struct seen {
	struct buf text;
	uint64_t end; /* of the line before */
};

/* "H name: value|" and so on; lines stand in order and do not overlap. */
static bool
on_line(void *arg, const struct mime_line *l)
{
	static const char letters[MIME_KINDS] = {'H', 'M', 'N', 'B'};
	struct seen *seen = arg;

	assert_true(l->offset >= seen->end);
	seen->end = l->offset + l->size;
	assert_int_equal(
	    buf_printf(&seen->text, "%c %.*s|", letters[l->kind], STR_ARG(l->text)), 0);
	return true;
}

static void
walk(struct str content, size_t cut, size_t depth, size_t boundary, bool off, struct seen *seen)
{
	struct mime m;

	*seen = (struct seen){0};
	buf_init(&seen->text, 1 << 20);
	mime_begin(&m, on_line, seen, depth, boundary, 4096);
	m.off = off;
	for (size_t at = 0; at < content.n; at += cut)
		mime_feed(&m, str_sub(content, at, cut));
	mime_end(&m);
	assert_true(seen->end <= content.n);
	mime_clear(&m);
}

#define MULTIPART "Content-Type: multipart/mixed; boundary="

/* clang-format off */
static const struct row {
	const char *content, *seen;
} rows[] = {
    {"",											     ""										       },
    {"Subject: x\r\n\r\nbody\r\n",								   "H Subject: x|B body|"								   },
    {"Subject: x\r\n\tfolded\r\nB: y\r\n",							   "H Subject: x\n\tfolded|H B: y|"                                                         },
    {"Subject: x\r\n\r\nno end",								     "H Subject: x|B no end|"								 },
    {"no header\r\nA: b\r\n",									"B no header|B A: b|"								    },
    {"From me at some time\r\nA: b\r\n\r\n",							 "H From me at some time|H A: b|"                                                         },
    {"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nx\r\n",
     "M MIME-Version: 1.0|M Content-Type: text/plain|B x|"																    },
    {MULTIPART "b\r\n\r\npre\r\n--b\r\nX: 1\r\n\r\none\r\n--b--\r\nX: 2\r\n",
     "M " MULTIPART "b|B pre|B --b|M X: 1|B one|B --b--|B X: 2|"															      },
    {MULTIPART "\"a b\"\r\n\r\n--a b\r\n\r\none\r\n--a b \t\r\nX: 1\r\n\r\n",
     "M " MULTIPART "\"a b\"|B --a b|B one|B --a b \t|M X: 1|"																},
 /* no boundary, one that is too long, blanks and comments around it */
    {"Content-Type: multipart/mixed\r\n\r\n--\r\nX: 1\r\n",
     "M Content-Type: multipart/mixed|B --|B X: 1|"																	   },
    {MULTIPART "0123456789012345678901234567890123456789\r\n\r\n"
	       "--0123456789012345678901234567890123456789\r\nX: 1\r\n",			"M " MULTIPART "0123456789012345678901234567890123456789|"
	"B --0123456789012345678901234567890123456789|B X: 1|"                                                   },
    {"Content-Type: (c) Multipart (x) / mixed (y); charset=a; BOUNDARY (z) = "
     "\"b\"\r\n\r\n--b\r\nX: "
     "1\r\n",										   "M Content-Type: (c) Multipart (x) / mixed (y); charset=a; BOUNDARY (z) = \"b\"|B --b|M X: "
	"1|"																				},
 /* a part's header that ends by a boundary, and one by a line that is none */
    {MULTIPART "b\r\n\r\n--b\r\nX: 1\r\n--b\r\nbody at once\r\n--b--\r\n",
     "M " MULTIPART "b|B --b|M X: 1|B --b|B body at once|B --b--|"															    },
 /* attached messages; an encoded one is not looked into */
    {"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: message/rfc822\r\n\r\nA: "
     "b\r\n\r\nx\r\n",									  "M Content-Type: message/rfc822|N Subject: in|M Content-Type: message/rfc822|N A: b|B x|"},
    {"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nA: b\r\n",
     "M Content-Type: message/rfc822|M Content-Transfer-Encoding: base64|B A: b|"													     },
    {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: in\r\n\r\nx\r\n--b\r\n"
     "Content-Type: text/plain\r\n\r\nA: b\r\n",						"M Content-Type: multipart/digest; boundary=b|B --b|N Subject: in|B x|B --b|M "
	"Content-Type: "
	"text/plain|B A: b|"													     },
 /* an outer boundary ends what is inside */
    {MULTIPART "o\r\n\r\n--o\r\n" MULTIPART "i\r\n\r\n--i\r\nX: 1\r\n\r\none\r\n--o\r\nX: "
	       "2\r\n\r\n--i\r\nX: 3\r\n",						      "M " MULTIPART "o|B --o|M " MULTIPART "i|B --i|M X: 1|B one|B --o|M X: 2|B --i|B X: 3|"  },
 /* deeper than 2: plain text */
    {MULTIPART "a\r\n\r\n--a\r\n" MULTIPART "b\r\n\r\n--b\r\n" MULTIPART "c\r\n\r\n--c\r\nX: 1\r\n",
     "M " MULTIPART "a|B --a|M " MULTIPART "b|B --b|M " MULTIPART "c|B --c|B X: 1|"													   },
};
/* clang-format on */

static void
test_structure(void **state)
{
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct str content = str_from(rows[i].content);
		for (size_t cut = 1; cut <= content.n + 1; cut++) {
			walk(content, cut, 2, 32, false, &seen);
			assert_string_equal(buf_cstr(&seen.text), rows[i].seen);
			buf_free(&seen.text);
		}
	}
}

static void
test_structure_is_not_looked_for(void **state)
{
	struct seen seen;

	(void)state;
	walk(STR(MULTIPART "b\r\n\r\n--b\r\nX: 1\r\n"), 7, 2, 32, true, &seen);
	assert_string_equal(buf_cstr(&seen.text), "H " MULTIPART "b|B --b|B X: 1|");
	buf_free(&seen.text);
}

/* A body's very long line comes in parts, a header's is cut; neither depends on the cuts. */
static void
test_long_lines(void **state)
{
	static char content[20000];
	struct seen one, other;

	(void)state;
	memset(content, 'x', sizeof content);
	memcpy(content, "Subject: ", 9);
	memcpy(content + 9000, "\r\nA: b\r\n\r\n", 10);
	walk(str_make(content, sizeof content), sizeof content, 2, 32, false, &one);
	walk(str_make(content, sizeof content), 7, 2, 32, false, &other);
	assert_string_equal(buf_cstr(&one.text), buf_cstr(&other.text));
	assert_non_null(strstr(buf_cstr(&one.text), "|H A: b|B xxx"));
	buf_free(&one.text);
	buf_free(&other.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_structure),
	    cmocka_unit_test(test_structure_is_not_looked_for),
	    cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
