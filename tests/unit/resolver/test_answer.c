/* SPDX-License-Identifier: ISC */
/* DNS answers, good and hostile; hosts files; resolv.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "resolver/answer.h"
#include "resolver/hosts.h"
#include "resolver/upstream.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

/* Head: id, flags, 1 question, n answers. */
#define HEAD(flags, answers) "\0\0" flags "\0\1\0" answers "\0\0\0\0"
#define GOOD "\x81\x80"
#define QUESTION(type) "\1x\4test\0\0" type "\0\1"
#define OWNER "\xc0\x0c"
#define TTL "\0\0\1\x2c"

/* clang-format off */
static const struct {
	const char *what;
	uint16_t type;
	const char *bytes;
	size_t n;
	int status; /* -1: refused */
	const char *first; /* data of the first record */
} cases[] = {
    {"A", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0\1" TTL "\0\4\300\0\2\1"), DNS_OK, NULL},
    {"MX", DNS_MX, BYTES(HEAD(GOOD, "\1") QUESTION("\17") OWNER "\0\17\0\1" TTL "\0\7\0\12\2mx" OWNER), DNS_OK, "mx.x.test"},
    {"null MX", DNS_MX, BYTES(HEAD(GOOD, "\1") QUESTION("\17") OWNER "\0\17\0\1" TTL "\0\3\0\0\0"), DNS_OK, ""},
    {"TXT", DNS_TXT, BYTES(HEAD(GOOD, "\1") QUESTION("\20") OWNER "\0\20\0\1" TTL "\0\6\2ab\2cd"), DNS_OK, "abcd"},
    {"other owner", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") "\1y\0" "\0\1\0\1" TTL "\0\4\300\0\2\1"), DNS_NODATA, NULL},
    {"other class", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0\3" TTL "\0\4\300\0\2\1"), DNS_NODATA, NULL},
    {"no data", DNS_A, BYTES(HEAD(GOOD, "\0") QUESTION("\1")), DNS_NODATA, NULL},
    {"NXDOMAIN", DNS_A, BYTES(HEAD("\x81\x83", "\0") QUESTION("\1")), DNS_NXDOMAIN, NULL},
    {"CNAME then A", DNS_A, BYTES(HEAD(GOOD, "\2") QUESTION("\1") OWNER "\0\5\0\1" TTL "\0\3\1y\0" "\1Y\0\0\1\0\1" TTL "\0\4\300\0\2\1"), DNS_OK, NULL},
    {"CNAME loop", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\5\0\1" TTL "\0\2" OWNER), -1, NULL},
    {"SERVFAIL", DNS_A, BYTES(HEAD("\x81\x82", "\0") QUESTION("\1")), -1, NULL},
    {"a question", DNS_A, BYTES(HEAD("\x01\x00", "\0") QUESTION("\1")), -1, NULL},
    {"other question", DNS_A, BYTES(HEAD(GOOD, "\0") QUESTION("\2")), -1, NULL},
    {"short A", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0\1" TTL "\0\3\300\0\2"), -1, NULL},
    {"long A", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0\1" TTL "\0\5\300\0\2\1\1"), -1, NULL},
    {"rdata cut", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0\1" TTL "\0\4\300\0"), -1, NULL},
    {"record cut", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") OWNER "\0\1\0"), -1, NULL},
    {"fewer than said", DNS_A, BYTES(HEAD(GOOD, "\2") QUESTION("\1") OWNER "\0\1\0\1" TTL "\0\4\300\0\2\1"), -1, NULL},
    {"pointer to itself", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") "\xc0\x18\0\1\0\1" TTL "\0\4\300\0\2\1"), -1, NULL},
    {"pointer forward", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") "\xc0\xff\0\1\0\1" TTL "\0\4\300\0\2\1"), -1, NULL},
    {"label type 01", DNS_A, BYTES(HEAD(GOOD, "\1") QUESTION("\1") "\x41" "a\0\0\1\0\1" TTL "\0\4\300\0\2\1"), -1, NULL},
    {"MX without name", DNS_MX, BYTES(HEAD(GOOD, "\1") QUESTION("\17") OWNER "\0\17\0\1" TTL "\0\2\0\12"), -1, NULL},
    {"MX with rest", DNS_MX, BYTES(HEAD(GOOD, "\1") QUESTION("\17") OWNER "\0\17\0\1" TTL "\0\5\0\12\0xx"), -1, NULL},
    {"TXT over its end", DNS_TXT, BYTES(HEAD(GOOD, "\1") QUESTION("\20") OWNER "\0\20\0\1" TTL "\0\3\5ab"), -1, NULL},
    {"TLSA too short", DNS_TLSA, BYTES(HEAD(GOOD, "\1") QUESTION("\64") OWNER "\0\64\0\1" TTL "\0\3\3\1\1"), -1, NULL},
    {"dot and NUL in a label", DNS_PTR, BYTES(HEAD(GOOD, "\1") QUESTION("\14") OWNER "\0\14\0\1" TTL "\0\5\3a.\0\0"), DNS_OK, "a\\046\\000"},
    {"head cut", DNS_A, BYTES("\0\0\x81\x80\0\1"), -1, NULL},
    {"nothing", DNS_A, BYTES(""), -1, NULL},
};
/* clang-format on */

static int
status_of(const char *bytes, size_t n, uint16_t type, struct answer *a)
{
	struct why why;
	/* a copy of the exact size, so that a read behind its end is seen */
	char *copy = n > 0 ? memcpy(test_malloc(n), bytes, n) : NULL;
	int rc = answer_parse(a, str_make(copy, n), type, &why);

	test_free(copy);
	return rc == -1 ? -1 : (int)a->status;
}

static void
test_answers(KP_UNUSED void **state)
{
	static struct answer a;

	for (size_t i = 0; i < NELEM(cases); i++) {
		answer_init(&a);
		int status = status_of(cases[i].bytes, cases[i].n, cases[i].type, &a);
		if (status != cases[i].status)
			fail_msg("%s: %d, expected %d", cases[i].what, status, cases[i].status);
		if (cases[i].first != NULL && !str_is(answer_data(&a, 0), cases[i].first))
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(answer_data(&a, 0)));
		if (status == DNS_OK)
			assert_int_equal(a.ttl, 300);
		answer_clear(&a);
	}
}

/* No prefix of an answer is read over its end, and none but the whole has a record. */
static void
test_prefixes(KP_UNUSED void **state)
{
	static struct answer a;

	for (size_t i = 0; i < NELEM(cases); i++) {
		for (size_t n = 0; n < cases[i].n; n++) {
			answer_init(&a);
			int status = status_of(cases[i].bytes, n, cases[i].type, &a);
			assert_true(status != DNS_OK);
			answer_clear(&a);
		}
	}
}

static void
test_hosts(KP_UNUSED void **state)
{
	struct hosts *h = hosts_new(
	    STR("# c\n192.0.2.1 One.example. one # x\n192.0.2.1 two\n::2 one.example\nbad line\n"));
	const struct host *host = hosts_find(h, STR("one.example"));
	char arpa[HOSTS_ARPA_SIZE];

	assert_non_null(host);
	assert_int_equal(host->n, 2);
	assert_memory_equal(host->addresses[0].bytes, "\300\0\2\1", 4);
	assert_non_null(hosts_find(h, STR("two")));
	assert_null(hosts_find(h, STR("three")));
	assert_non_null(hosts_find(h, STR("localhost")));
	assert_non_null(hosts_find(h, STR("a.localhost")));
	assert_true(hosts_arpa(STR("192.0.2.1"), arpa));
	assert_string_equal(hosts_reverse(h, str_from(arpa)), "one.example");
	assert_true(hosts_arpa(STR("127.0.0.1"), arpa));
	assert_string_equal(hosts_reverse(h, str_from(arpa)), "localhost");
	assert_false(hosts_arpa(STR("host"), arpa));
	hosts_free(&h);
}

static void
test_resolv_conf(KP_UNUSED void **state)
{
	struct str rest = STR("# nameserver 192.0.2.9\nsearch x\nnameserver "
			      "192.0.2.1\nnameserver\t::1 # y\nnameserver\n");
	struct str address;

	assert_true(resolv_conf_next(&rest, &address));
	assert_true(str_is(address, "192.0.2.1"));
	assert_true(resolv_conf_next(&rest, &address));
	assert_true(str_is(address, "::1"));
	assert_false(resolv_conf_next(&rest, &address));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_prefixes),
	    cmocka_unit_test(test_hosts),
	    cmocka_unit_test(test_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
