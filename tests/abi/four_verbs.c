/* The four verbs on the CPU backend, from C99, against plain double arithmetic. */
#include <flashdec.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, Q_HEADS = 6, KV_HEADS = 2, TOKENS = 600, DIM = 24, DIM_V = 40 };

#define REQUIRE(condition)                                                               \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, flashdec_last_error()); \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

static float q[BATCH * Q_HEADS * DIM];
static float k[BATCH * TOKENS * KV_HEADS * DIM];
static float v[BATCH * TOKENS * KV_HEADS * DIM_V];
static float o[BATCH * Q_HEADS * DIM_V];
static float lse[BATCH * Q_HEADS];
static const int32_t kv_len[BATCH] = {TOKENS, 0, 257};

static void fill(float *values, size_t count, uint32_t seed) {
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
  }
}

/* The formula of flashdec.h, section 1. */
static void check_row(int b, int h) {
  const int g = h / (Q_HEADS / KV_HEADS);
  double exact[DIM_V] = {0}, sum = 0, largest = -INFINITY, weight[TOKENS];
  for (int t = 0; t < kv_len[b]; ++t) {
    double dot = 0;
    for (int d = 0; d < DIM; ++d)
      dot += (double)q[(b * Q_HEADS + h) * DIM + d] *
             (double)k[((b * TOKENS + t) * KV_HEADS + g) * DIM + d];
    weight[t] = dot / sqrt((double)DIM);
    largest = fmax(largest, weight[t]);
  }
  for (int t = 0; t < kv_len[b]; ++t) {
    const double p = exp(weight[t] - largest);
    sum += p;
    for (int d = 0; d < DIM_V; ++d)
      exact[d] += p * (double)v[((b * TOKENS + t) * KV_HEADS + g) * DIM_V + d];
  }
  for (int d = 0; d < DIM_V; ++d) {
    const double got = (double)o[(b * Q_HEADS + h) * DIM_V + d];
    REQUIRE(fabs(got - (sum > 0 ? exact[d] / sum : 0.0)) < 1e-5);
  }
  const double got = (double)lse[b * Q_HEADS + h];
  REQUIRE(sum > 0 ? fabs(got - (largest + log(sum))) < 1e-4 : isinf(got) && got < 0);
}

static flashdec_descriptor describe(void) {
  flashdec_descriptor desc = {sizeof desc};
  desc.batch = BATCH;
  desc.q_heads = Q_HEADS;
  desc.kv_heads = KV_HEADS;
  desc.max_kv_len = TOKENS;
  desc.head_dim = DIM;
  desc.head_dim_v = DIM_V;
  desc.q_dtype = desc.kv_dtype = FLASHDEC_FLOAT32;
  desc.alignment = sizeof(float); /* C promises no more for the arrays above */
  return desc;
}

static flashdec_preference prefer(void) {
  flashdec_preference preference = {sizeof preference};
  preference.prefer_backend = FLASHDEC_BACKEND_CPU;
  return preference;
}

static flashdec_plan select_plan(void) {
  const flashdec_descriptor desc = describe();
  const flashdec_preference preference = prefer();
  flashdec_plan plan;
  REQUIRE(flashdec_select(&desc, &preference, NULL, &plan) == FLASHDEC_SUCCESS);
  return plan;
}

static flashdec_args make_args(void) {
  flashdec_args args = {sizeof args};
  args.q = q;
  args.k = k;
  args.v = v;
  args.o = o;
  args.lse = lse;
  args.kv_len = kv_len;
  args.q_stride_batch = Q_HEADS * DIM;
  args.q_stride_head = DIM;
  args.k_stride_batch = TOKENS * KV_HEADS * DIM;
  args.k_stride_token = KV_HEADS * DIM;
  args.k_stride_head = DIM;
  args.v_stride_batch = TOKENS * KV_HEADS * DIM_V;
  args.v_stride_token = KV_HEADS * DIM_V;
  args.v_stride_head = DIM_V;
  args.o_stride_batch = Q_HEADS * DIM_V;
  args.o_stride_head = DIM_V;
  args.lse_stride_batch = Q_HEADS;
  args.lse_stride_head = 1;
  return args;
}

static void *aligned(void *block, uint64_t align) {
  return (void *)(((uintptr_t)block + align - 1) / align * align);
}

static void check_identity(const flashdec_plan *plan) {
  flashdec_kernel_sku sku = {sizeof sku}, row = {sizeof row};
  flashdec_plan_facts facts = {sizeof facts};
  REQUIRE(flashdec_sku(plan, &sku) == FLASHDEC_SUCCESS);
  REQUIRE(flashdec_plan_info(plan, &facts) == FLASHDEC_SUCCESS);
  REQUIRE(sku.backend == FLASHDEC_BACKEND_CPU && facts.backend == FLASHDEC_BACKEND_CPU);
  REQUIRE(sku.element == FLASHDEC_FLOAT32 && sku.aux_element == FLASHDEC_FLOAT32);
  REQUIRE(sku.guarantee.accumulator == FLASHDEC_FLOAT32 && sku.guarantee.deterministic == 1);
  REQUIRE(facts.device == -1 && facts.launches == 0 && facts.num_threads >= 1);
  REQUIRE(facts.max_splits > 1 && facts.kernel < flashdec_kernel_count());
  REQUIRE(strcmp(flashdec_kernel_name(facts.kernel), sku.name) == 0);
  for (uint32_t i = 0; i < flashdec_kernel_count(); ++i) {
    REQUIRE(flashdec_kernel_info(i, &row) == FLASHDEC_SUCCESS);
    REQUIRE(strcmp(flashdec_kernel_name(i), row.name) == 0);
    for (uint32_t j = 0; j < i; ++j) REQUIRE(strcmp(flashdec_kernel_name(j), row.name) != 0);
  }
  REQUIRE(flashdec_kernel_name(flashdec_kernel_count()) == NULL);
  REQUIRE(flashdec_kernel_info(flashdec_kernel_count(), &row) == FLASHDEC_INVALID_VALUE);
}

/* select chooses the first row that supports the problem, and each other one says why not. */
static void check_choice(const flashdec_plan *plan) {
  const flashdec_descriptor desc = describe();
  const flashdec_preference preference = prefer();
  flashdec_plan_facts facts = {sizeof facts};
  REQUIRE(flashdec_plan_info(plan, &facts) == FLASHDEC_SUCCESS);
  for (uint32_t i = 0; i < facts.kernel; ++i) {
    REQUIRE(flashdec_kernel_supports(i, &desc, &preference, NULL) != FLASHDEC_SUCCESS);
    REQUIRE(strstr(flashdec_last_error(), flashdec_kernel_name(i)) != NULL);
  }
  REQUIRE(flashdec_kernel_supports(facts.kernel, &desc, &preference, NULL) == FLASHDEC_SUCCESS);
  REQUIRE(flashdec_kernel_supports(flashdec_kernel_count(), &desc, &preference, NULL) ==
          FLASHDEC_INVALID_VALUE);
}

int main(void) {
  uint64_t bytes = 0, align = 0;
  REQUIRE(flashdec_abi_version() == FLASHDEC_ABI_VERSION);
  REQUIRE(flashdec_last_error()[0] == '\0');

  const flashdec_plan plan = select_plan(), again = select_plan();
  flashdec_plan copy;
  memcpy(&copy, &plan, sizeof copy);
  REQUIRE(memcmp(&copy, &again, sizeof copy) == 0);
  check_identity(&copy);
  check_choice(&copy);

  REQUIRE(flashdec_workspace_size(&copy, &bytes, &align) == FLASHDEC_SUCCESS);
  REQUIRE(bytes > 0 && align > 0);
  void *block = malloc((size_t)(bytes + align));
  REQUIRE(block != NULL);
  memset(block, 0xff, (size_t)(bytes + align));

  fill(q, sizeof q / sizeof *q, 1);
  fill(k, sizeof k / sizeof *k, 2);
  fill(v, sizeof v / sizeof *v, 3);
  const flashdec_args args = make_args();
  REQUIRE(flashdec_can_implement(&copy, &args) == FLASHDEC_SUCCESS);
  REQUIRE(flashdec_run(&copy, &args, aligned(block, align), bytes - 1, NULL) ==
          FLASHDEC_WORKSPACE_TOO_SMALL);
  REQUIRE(flashdec_run(&copy, &args, aligned(block, align), bytes, NULL) == FLASHDEC_SUCCESS);
  for (int row = 0; row < BATCH * Q_HEADS; ++row) check_row(row / Q_HEADS, row % Q_HEADS);
  free(block);
  printf("%d rows\n", BATCH * Q_HEADS);
  return 0;
}
