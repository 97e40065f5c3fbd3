import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Longer than anything takes, delay levels and rebalances of Apache's included.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
