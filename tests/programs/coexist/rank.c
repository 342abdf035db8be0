/* One rank: takes memory by its number. */
#include <stdio.h>
#include <stdlib.h>

int cudaMalloc(void **, size_t);
int cudaFree(void *);

int main(void) {
    void *at = NULL;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!rank) return 1;
    int rc = cudaMalloc(&at, (size_t)(atoi(rank) + 1) << 20);
    if (rc || cudaFree(at)) return 2;
    printf("rank %s\n", rank);
    return 0;
}
