/* SPDX-License-Identifier: ISC */
/* The text of kingpost.conf. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/conf/file.h"
#include "lib/conf/common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf errors = {.max = 1 << 16};
	struct conf_file *cf =
	    conf_file_parse("fuzz.conf", str_make((const char *)data, size), &errors);

	/* Every value, against every row: the parsers of the types. */
	for (size_t i = 0; i < cf->nentries && i < 16; i++)
		for (size_t r = 0; r < conf_common_settings.n; r++) {
			struct conf_common conf = {0};
			(void)!setting_set(&conf_common_settings.rows[r], &conf,
			    str_from(cf->entries[i].value), NULL);
			settings_clear(&conf_common_settings, &conf);
		}
	conf_file_free(&cf);
	buf_free(&errors);
	return 0;
}
