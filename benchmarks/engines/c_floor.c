/* Summed path lengths of an isolation forest without a branch that depends on the data; see c_floor.py. */
#include <stdint.h>
#include <string.h>

/* Rows that walk a tree side by side: of 8, 16, 32 and 64 the fastest; more no longer fit into registers. */
enum { BLOCK = 16 };

typedef struct {
    double threshold;
    int32_t child, column;
} node_t;

void path_lengths(int64_t rows, int64_t features, int64_t trees, const double *restrict reading,
                  const int32_t *restrict root, const int32_t *restrict steps, const node_t *restrict nodes,
                  const double *restrict value, double *restrict total)
{
    double last[BLOCK * features];
    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t count = rows - first < BLOCK ? rows - first : BLOCK;
        const double *block = reading + first * features;
        if (count < BLOCK) {
            memset(last, 0, sizeof last);
            memcpy(last, block, sizeof(double) * (size_t)(count * features));
            block = last;
        }
        double sum[BLOCK] = {0};
        for (int64_t tree = 0; tree < trees; ++tree) {
            int32_t at[BLOCK];
            for (int row = 0; row < BLOCK; ++row)
                at[row] = root[tree];
            for (int32_t step = 0; step < steps[tree]; ++step)
#pragma GCC unroll 16
                for (int row = 0; row < BLOCK; ++row) {
                    const node_t *node = nodes + at[row];
                    at[row] = node->child + !(block[row * features + node->column] <= node->threshold);
                }
            for (int row = 0; row < BLOCK; ++row)
                sum[row] += value[at[row]];
        }
        memcpy(total + first, sum, sizeof(double) * (size_t)count);
    }
}
