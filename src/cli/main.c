/* Entry of the program. The only reader of the environment besides comm/: FAIL arms the failpoints of base/failpoint.h. */
#include "cli/commands.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    return cs_program(argc, argv, getenv("FAIL"));
}
