/* SPDX-License-Identifier: ISC */
/* One event, two renderings: Postfix's wording to the letter, and JSON that any parser takes. */
#include <string.h>

#include "lib/base/buf.h"
#include "lib/log/log.h"
#include "tests/unit/test.h"

static void
check(enum log_event event, const void *record, const char *text, const char *json)
{
	struct buf out = {.max = 10000};

	log_render_text(log_form(event), record, &out);
	assert_string_equal(buf_cstr(&out), text);
	buf_reset(&out);
	log_render_json(log_form(event), record, &out);
	assert_string_equal(buf_cstr(&out), json);
	buf_free(&out);
}

static void
parts_stand_only_where_there_is_something(void **state)
{
	struct ev_delivery ev = {
	    .queue_id = STR("ABC"),
	    .to = STR("a@b"),
	    .relay = STR("mx[192.0.2.1]:25"),
	    .delay = STR("0.1"),
	    .delays = STR("0/0/0/0.1"),
	    .dsn = STR("2.0.0"),
	    .status = STR("sent"),
	    .text = STR("250 ok"),
	};

	(void)state;
	check(EV_DELIVERY, &ev,
	    "ABC: to=<a@b>, relay=mx[192.0.2.1]:25, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, "
	    "status=sent (250 ok)",
	    ",\"queue_id\":\"ABC\",\"to\":\"a@b\",\"relay\":\"mx[192.0.2.1]:25\",\"delay\":\"0.1\","
	    "\"delays\":\"0/0/0/0.1\","
	    "\"dsn\":\"2.0.0\",\"status\":\"sent\",\"text\":\"250 ok\"");
	ev.orig_to = STR("x@y");
	struct buf out = {.max = 10000};
	log_render_text(log_form(EV_DELIVERY), &ev, &out);
	assert_non_null(strstr(buf_cstr(&out), "to=<a@b>, orig_to=<x@y>, relay="));
	buf_free(&out);
}

static void
a_reject_has_a_queue_id_or_says_that_it_has_none(void **state)
{
	struct ev_reject ev = {
	    .action = STR("reject"),
	    .stage = STR("RCPT"),
	    .client_name = STR("h"),
	    .client_addr = STR("192.0.2.1"),
	    .reply = STR("554 5.7.1 <a@b>: Relay access denied"),
	    .recipient = STR("a@b"),
	    .proto = STR("ESMTP"),
	    .helo = STR("x"),
	};
	struct buf out = {.max = 10000};

	(void)state;
	log_render_text(log_form(EV_REJECT), &ev, &out);
	assert_string_equal(buf_cstr(&out),
	    "NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <a@b>: Relay "
	    "access denied; from=<> to=<a@b> proto=ESMTP helo=<x>");
	buf_reset(&out);
	ev.queue_id = STR("ABC");
	log_render_text(log_form(EV_REJECT), &ev, &out);
	assert_true(str_starts(buf_view(&out), STR("ABC: reject: RCPT")));
	buf_free(&out);
}

static void
no_value_can_break_a_line(void **state)
{
	struct ev_note ev = {
	    .text = {"a\r\nb\0\"\\\x7f", 8}
        };

	(void)state;
	check(EV_NOTE, &ev, "a\\015\\012b\\000\"\\\\177",
	    ",\"text\":\"a\\u000d\\u000ab\\u0000\\\"\\\\\\u007f\"");
}

static void
what_is_not_utf8_is_replaced_in_json(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"\xc3\xa4",         "\"\xc3\xa4\""                    },
	    {"\xf0\x9f\x93\xac", "\"\xf0\x9f\x93\xac\""            },
	    {"\xe4",             "\"\\ufffd\""                     },
	    {"\xc0\x80",         "\"\\ufffd\\ufffd\""              },
	    {"\xed\xa0\x80",     "\"\\ufffd\\ufffd\\ufffd\""       },
	    {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	    {"\xe2\x82",         "\"\\ufffd\\ufffd\""              },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct buf out = {.max = 100};
		log_json_text(str_from(rows[i].in), &out);
		assert_string_equal(buf_cstr(&out), rows[i].out);
		buf_free(&out);
	}
}

/* Every template names only fields that exist: rendering an empty record of each would panic
 * otherwise. */
static void
every_template_fits_its_fields(void **state)
{
	(void)state;
	for (unsigned e = EV_NONE + 1; e < EV_COUNT; e++) {
		const struct log_form *form = log_form(e);
		char record[4096] __attribute__((aligned(16))) = {0};
		struct buf out = {.max = 10000};
		assert_non_null(form);
		assert_true(form->type.struct_size <= sizeof record);
		log_render_text(form, record, &out);
		assert_true(out.n > 0 || form->text[0] == '{');
		memset(record, 0, sizeof record);
		size_t end = 0;
		for (size_t i = 0; i < form->type.n; i++) {
			void *at = wire_place(&form->type.fields[i], record, &end);
			if (form->type.fields[i].kind == WIRE_STR)
				memcpy(at, &STR("v"), sizeof(struct str));
		}
		log_render_text(form, record, &out);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_stand_only_where_there_is_something),
	    cmocka_unit_test(a_reject_has_a_queue_id_or_says_that_it_has_none),
	    cmocka_unit_test(no_value_can_break_a_line),
	    cmocka_unit_test(what_is_not_utf8_is_replaced_in_json),
	    cmocka_unit_test(every_template_fits_its_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
