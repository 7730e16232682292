import { dirname } from 'node:path';
import type { NextConfig } from 'next';

const root = dirname(dirname(import.meta.dirname));

const config: NextConfig = {
  output: 'standalone',
  outputFileTracingRoot: root,
  turbopack: { root },
  transpilePackages: ['@rmr/admin-api', '@rmr/runtime'],
  serverExternalPackages: ['@node-rs/crc32'],
  poweredByHeader: false,
  reactStrictMode: true,
  // The type check is a target of its own, with the compiler of the whole repository
  typescript: { ignoreBuildErrors: true },
  async headers() {
    return [
      {
        source: '/:path*',
        headers: [
          { key: 'X-Content-Type-Options', value: 'nosniff' },
          { key: 'X-Frame-Options', value: 'DENY' },
          { key: 'Referrer-Policy', value: 'no-referrer' },
        ],
      },
    ];
  },
};

export default config;
