/* SPDX-License-Identifier: ISC */
/* check_host() over a small zone: a row a case, with RFC 7208's limits and macros. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/spf/spf.h"

struct row {
	const char *name;
	unsigned type;
	const char *data; /* TXT and names as they are, addresses in text */
};

static const struct row zone[] = {
    {"plain.example",		       SPF_TXT, "v=spf1 +mx a:colo.example -all"                 },
    {"plain.example",		       SPF_MX,  "mail.plain.example"                             },
    {"mail.plain.example",                  SPF_A,   "192.0.2.129"                                    },
    {"colo.example",			SPF_A,   "192.0.2.65"                                     },
    {"cidr.example",			SPF_TXT, "v=spf1 a:colo.example/26 ip6:2001:db8::/32 ~all"},
    {"redirect.example",                    SPF_TXT, "v=spf1 redirect=plain.example"                  },
    {"gone.example",			SPF_TXT, "v=spf1 redirect=nothing.example"                },
    {"include.example",                     SPF_TXT, "v=spf1 include:plain.example ?all"              },
    {"loop.example",			SPF_TXT, "v=spf1 include:loop.example -all"               },
    {"void.example",			SPF_TXT, "v=spf1 a:x.example a:y.example a:z.example +all"},
    {"two.example",			 SPF_TXT, "v=spf1 -all"                                    },
    {"two.example",			 SPF_TXT, "v=spf1 +all"                                    },
    {"other.example",		       SPF_TXT, "v=spf10 -all"                                   },
    {"bad.example",			 SPF_TXT, "v=spf1 +all a:%{x}.example"                     },
    {"badcidr.example",                     SPF_TXT, "v=spf1 a/33 +all"                               },
    {"nothingbehind.example",               SPF_TXT, "v=spf1"                                         },
    {"ptr.example",			 SPF_TXT, "v=spf1 ptr -all"                                },
    {"65.2.0.192.in-addr.arpa",             SPF_PTR, "host.ptr.example"                               },
    {"host.ptr.example",                    SPF_A,   "192.0.2.65"                                     },
    {"exists.example",                      SPF_TXT, "v=spf1 exists:%{ir}.%{v}.%{l1r-}.%{d2} -all"    },
    {"65.2.0.192.in-addr.a.exists.example", SPF_A,   "127.0.0.2"                                      },
    {"exp.example",			 SPF_TXT, "v=spf1 -all exp=why.%{d}"                       },
    {"why.exp.example",                     SPF_TXT, "%{i} is not for %{d}; see http://%{d}/?s=%{S}"  },
    {"MIXED.example",		       SPF_TXT, "V=SPF1 IP4:192.0.2.65 -ALL"                     },
};

static unsigned char octets[16];

static bool
on_lookup(void *arg, unsigned type, const char *name, struct spf_dns *dns)
{
	(void)arg;
	if (strcmp(name, "asked.example") == 0)
		return false;
	dns->failed = strcmp(name, "temp.example") == 0;
	for (size_t i = 0; i < NELEM(zone); i++)
		if (zone[i].type == type && strcasecmp(zone[i].name, name) == 0)
			dns->n++;
	size_t n = 0;
	static const struct row *all[8][16];
	static size_t slot;
	slot = (slot + 1) % 8;
	for (size_t i = 0; i < NELEM(zone); i++)
		if (zone[i].type == type && strcasecmp(zone[i].name, name) == 0)
			all[slot][n++] = &zone[i];
	dns->records = all[slot];
	return true;
}

static struct str
record_at(const struct spf_dns *dns, size_t i)
{
	const struct row *row = ((const struct row *const *)dns->records)[i];

	if (row->type != SPF_A)
		return str_from(row->data);
	assert_int_equal(inet_pton(AF_INET, row->data, octets), 1);
	return str_make((const char *)octets, 4);
}

static const struct {
	const char *sender, *client;
	enum spf_result result;
	const char *explanation;
} cases[] = {
    {"a@plain.example",         "192.0.2.129", SPF_PASS,      ""                      },
    {"a@plain.example",         "192.0.2.65",  SPF_PASS,      ""                      },
    {"a@plain.example",         "192.0.2.66",  SPF_FAIL,      ""                      },
    {"a@cidr.example",          "192.0.2.66",  SPF_PASS,      ""                      },
    {"a@cidr.example",          "192.0.2.1",   SPF_SOFTFAIL,  ""                      },
    {"a@cidr.example",          "2001:db8::1", SPF_PASS,      ""                      },
    {"a@redirect.example",      "192.0.2.65",  SPF_PASS,      ""                      },
    {"a@gone.example",          "192.0.2.65",  SPF_PERMERROR, ""                      },
    {"a@include.example",       "192.0.2.65",  SPF_PASS,      ""                      },
    {"a@include.example",       "192.0.2.1",   SPF_NEUTRAL,   ""                      },
    {"a@loop.example",          "192.0.2.1",   SPF_PERMERROR, ""                      },
    {"a@void.example",          "192.0.2.1",   SPF_PERMERROR, ""                      },
    {"a@two.example",           "192.0.2.1",   SPF_PERMERROR, ""                      },
    {"a@other.example",         "192.0.2.1",   SPF_NONE,      ""                      },
    {"a@missing.example",       "192.0.2.1",   SPF_NONE,      ""                      },
    {"a@bad.example",           "192.0.2.1",   SPF_PERMERROR, ""                      },
    {"a@badcidr.example",       "192.0.2.1",   SPF_PERMERROR, ""                      },
    {"a@nothingbehind.example", "192.0.2.1",   SPF_NEUTRAL,   ""                      },
    {"a@ptr.example",           "192.0.2.65",  SPF_PASS,      ""                      },
    {"a@ptr.example",           "192.0.2.66",  SPF_FAIL,      ""                      },
    {"a-b@exists.example",      "192.0.2.65",  SPF_PASS,      ""                      },
    {"b-a@exists.example",      "192.0.2.65",  SPF_FAIL,      ""                      },
    {"a b@exp.example",         "192.0.2.1",   SPF_FAIL,
     "192.0.2.1 is not for exp.example; see http://exp.example/?s=a%20b%40exp.example"},
    {"a@temp.example",          "192.0.2.1",   SPF_TEMPERROR, ""                      },
    {"a@asked.example",         "192.0.2.1",   SPF_ASKED,     ""                      },
    {"a@mixed.example",         "192.0.2.65",  SPF_PASS,      ""                      },
    {"a@one",		   "192.0.2.65",  SPF_NONE,      ""                      },
};

static void
test_cases(KP_UNUSED void **state)
{
	static const struct spf_source source = {NULL, on_lookup, record_at};

	for (size_t i = 0; i < NELEM(cases); i++) {
		unsigned char ip[16];
		bool v6 = strchr(cases[i].client, ':') != NULL;
		struct spf q = {.source = &source,
		    .ip = ip,
		    .ip_n = v6 ? 16 : 4,
		    .sender = cases[i].sender,
		    .helo = "helo.example",
		    .receiver = "us.example"};
		assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, cases[i].client, ip), 1);
		enum spf_result r = spf_check(&q);
		if (r != cases[i].result)
			print_error("%s from %s: %s (%s)\n", cases[i].sender, cases[i].client,
			    spf_result_name(r), q.problem);
		assert_int_equal(r, cases[i].result);
		assert_string_equal(q.explanation, cases[i].explanation);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
