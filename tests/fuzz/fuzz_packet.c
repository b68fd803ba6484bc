/* SPDX-License-Identifier: ISC */
/* Packets as a program that has been taken over would send them: framing and the decoder of every
 * message type. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/why.h"
#include "lib/chan/chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct why why;

	(void)chan_try_packet(str_make((const char *)data, size), NULL, &why);
	return 0;
}
