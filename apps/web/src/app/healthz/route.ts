export const dynamic = 'force-dynamic';

/** This process serves requests. Says nothing about the daemons. */
export function GET(): Response {
  return Response.json({ status: 'ok' }, { headers: { 'cache-control': 'no-store' } });
}
