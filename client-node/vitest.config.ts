import { defineConfig } from 'vitest/config'

// On a cluster of somebody else's, the embedded broker is not what is tested.
const isEmbedded = process.env.OXMQ_NAME_SERVER === undefined

export default defineConfig({
  test: {
    include: ['test/*.test.ts'],
    exclude: isEmbedded ? [] : ['test/embedded.test.ts'],
    // Longer than anything takes, delay levels and rebalances of Apache's included.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
