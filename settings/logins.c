/* SPDX-License-Identifier: ISC */
/* Who knows the accounts of which service, for keeper. */
#include <string.h>

#include "lib/base/buf.h"
#include "settings/all.h"

static const char *
value(struct config *config, size_t service, const char *name)
{
	return config_value(config, service, config_row(config, service, str_from(name)), NULL);
}

void
settings_sasl_services(struct config *config, struct buf *out)
{
	size_t n = 0;

	for (size_t i = 1; i <= config_services(config); i++) {
		if (strcmp(config_service_program(config, i), "smtpd") != 0 ||
		    !str_caseis(str_from(value(config, i, "smtpd_sasl_auth_enable")), "yes"))
			continue;
		if (buf_printf(out, "%s{%s %s %s}", n++ > 0 ? ", " : "",
			config_service_name(config, i), value(config, i, "smtpd_sasl_type"),
			value(config, i, "smtpd_sasl_path")) == -1)
			return; /* more than a setting may be: those left out have no logins */
	}
}
