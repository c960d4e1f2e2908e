// Debian and Ubuntu keep the header in a folder of its own; elsewhere it is where the compiler looks.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif
