/* What a disk says that does not give its bytes back. */
#include <errno.h>
#include <sys/types.h>

#include "file/file.h"
/* Last. */
#include "base/test.h"

static int error_now;
static unsigned calls;

/* The C library has it under two names. */
ssize_t __wrap_pread(int file, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int file, void *data, size_t size, off_t offset);

ssize_t __wrap_pread64(int file, void *data, size_t size, off_t offset)
{
	(void)file;
	(void)data;
	(void)offset;
	calls++;
	if (calls == 1)
		return (ssize_t)size / 2; /* the rest is what cannot be read */
	errno = error_now;
	return -1;
}

ssize_t __wrap_pread(int file, void *data, size_t size, off_t offset)
{
	return __wrap_pread64(file, data, size, offset);
}

static void bad_sectors_have_one_name(void **state)
{
	static const struct {
		int error;
		int64_t said;
	} rows[] = {
		{ EIO, -EIO },
		{ ENODATA, -EIO },
		{ EREMOTEIO, -EIO },
		{ EILSEQ, -EIO },
		{ EBADMSG, -EIO },
		{ EUCLEAN, -EIO },
		{ ETIMEDOUT, -EIO },
		{ EBADF, -EBADF },
		{ ENOMEM, -ENOMEM },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint8_t data[8];

		calls = 0;
		error_now = rows[i].error;
		assert_int_equal(file_read(0, data, sizeof(data), 0), rows[i].said);
		assert_int_equal(calls, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_sectors_have_one_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
