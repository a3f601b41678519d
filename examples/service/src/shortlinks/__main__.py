"""python -m shortlinks: serves until it is interrupted."""

import argparse
from wsgiref.simple_server import make_server

from shortlinks.app import App
from shortlinks.links import Links


def main() -> None:
    parser = argparse.ArgumentParser(prog="shortlinks", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--database", default="links.db")
    options = parser.parse_args()
    links = Links(options.database)
    with make_server(options.host, options.port, App(links)) as server:
        print(f"serving on http://{options.host}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            links.close()


if __name__ == "__main__":
    main()
