import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Limits the quiet connections of an HTTP server to `max`. A connection is quiet while no request is being answered on it: it is silent,
 * or sends its headers slowly, or is kept alive. When a new connection would exceed `max`, the one that has been quiet for the longest
 * time is closed. So no number of quiet connections keeps others out.
 */
export function limitQuietConnections(server: Server, max: number): void {
  /** The quiet connections. The one that has been quiet for longest comes first. */
  const quiet = new Set<Socket>();
  server.on('connection', (socket) => {
    if (quiet.size >= max) {
      const [longest] = quiet;
      longest?.destroy();
    }
    quiet.add(socket);
    socket.once('close', () => quiet.delete(socket));
  });
  server.on('request', (request, response) => {
    const { socket } = request;
    quiet.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) quiet.add(socket);
    });
  });
}
