/* A segment that an opening can not delete: it says so and fails, each time, and what these attempts leave behind does not add up. */
#include "journal/journal_testing.h"

/* Last. */
#include "base/test.h"

int __real_file_remove(int dir, const char *name);
int __wrap_file_remove(int dir, const char *name);

static const char *refused; /* the name that nobody may delete, NULL: none */

int __wrap_file_remove(int dir, const char *name)
{
	return refused != NULL && strcmp(name, refused) == 0 ? -EPERM
							     : __real_file_remove(dir, name);
}

static int count_one(void *context, const char *name)
{
	*(unsigned *)context += segment_index_of_name(name) != 0;
	return 0;
}

static unsigned segment_count(void)
{
	unsigned count = 0;
	int dir;

	assert_int_equal(file_open_directory(path, &dir), 0);
	assert_int_equal(file_list(dir, count_one, &count), 0);
	file_close(dir);
	return count;
}

static void what_can_not_be_deleted_does_not_add_up(void **state)
{
	static const char empty[] = "00000000000000000003.seg";
	struct journal_config c = config();
	struct stream_state stream;
	struct failure why;
	struct journal *j = open_it();

	(void)state;
	append_ok(j, "a", open_stream(j, "a", &stream), 1, 10);
	settle(j);
	kill_it(j);
	j = open_it(); /* deletes the spare, and puts nothing into its own segment */
	kill_it(j);
	refused = empty;
	for (int i = 0; i < 5; i++) {
		memset(&why, 0, sizeof(why));
		assert_int_equal(journal_open(&c, &door, &j, &why), -EPERM);
		assert_int_equal(why.status, EXIT_IO);
		assert_non_null(strstr(why.text, "delete segment 00000000000000000003.seg"));
		assert_int_equal(segment_count(), 3); /* of these two, and of the last attempt */
	}
	refused = NULL;
	j = open_it();
	assert_int_equal(segment_count(), 2);
	assert_int_equal(last_of(j, "a"), 1);
	append_ok(j, "a", open_stream(j, "a", &stream), 1, 10);
	stop_it(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_can_not_be_deleted_does_not_add_up, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
