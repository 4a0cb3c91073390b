/* Faults three calls deep, for what is told of it. */
__attribute__((noinline, optimize("O0"))) void crash_here(volatile int *where)
{
    *where = 7;
}

__attribute__((noinline, optimize("O0"))) void caller_of_crash(int count)
{
    crash_here((volatile int *)(long)(0x10 * count));
}

__attribute__((optimize("O0"))) int main(int count, char **words)
{
    (void)words;
    caller_of_crash(count);
    return 0;
}
