# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment .venv with this package in it, once; sourced by demo.sh and test.sh.
#
# On a machine with ROS 2 the environment sees the system's rclpy and messages, and no ROS wheel is
# installed. Elsewhere ROS 2 comes from PyPI wheels.

set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${SHARPDEPTH_VENV:-$ROOT/.venv}"
PYTHON="${PYTHON:-python3}"

# The build that the tests were made with. A range would take a newer, untested one.
TORCH="torch==2.13.0"

# ROS 2 of the long-term release, for tests on a second distribution.
JAZZY="$VENV/jazzy"
JAZZY_WHEELS=("ros-jazzy-rclpy[fastrtps]" "ros-jazzy-common-interfaces")

say() { printf 'sharpdepth: %s\n' "$*" >&2; }

source_ros() {
    local setup
    if [ -z "${ROS_DISTRO:-}" ]; then
        for setup in /opt/ros/*/setup.bash; do
            [ -e "$setup" ] || return 0
            say "using the ROS 2 of $setup"
            set +u # ROS' setup files read variables that are not set
            # shellcheck disable=SC1090
            source "$setup"
            set -u
            return 0
        done
    fi
}

make_venv() {
    local options=()
    [ -z "${ROS_DISTRO:-}" ] || options+=(--system-site-packages)
    if ! "$PYTHON" -m venv --help >/dev/null 2>&1 || ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
        say "installing python3-venv, which this Python lacks"
        local sudo=""
        [ "$(id -u)" -eq 0 ] || sudo=sudo
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq python3-venv
    fi
    "$PYTHON" -m venv "${options[@]}" "$VENV"
}

install_package() {
    # $1: the extras to install. What is installed is remembered by the files that decide it.
    local extras="$1" mark="$VENV/.sharpdepth-installed" want
    want="$extras $(cat "$ROOT/setup.py" "$ROOT/scripts/environment.sh" | sha256sum)"
    if [ -f "$mark" ] && [ "$(cat "$mark")" = "$want" ]; then
        return 0
    fi
    say "installing into $VENV (a few minutes the first time)"
    local requirements=("$TORCH")
    # A ROS release's messages are built for the NumPy that the system has.
    if [ -n "${ROS_DISTRO:-}" ] && [[ "$("$PYTHON" -c 'import numpy; print(numpy.__version__)')" == 1.* ]]; then
        requirements+=("numpy<2")
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        "${requirements[@]}" --editable "$ROOT${extras:+[$extras]}"
    printf '%s' "$want" >"$mark"
}

prepare() {
    # $1: extras besides those for ROS.
    local extras="$1"
    source_ros
    [ -x "$VENV/bin/python" ] || make_venv
    if [ -z "${ROS_DISTRO:-}" ]; then
        extras="ros${extras:+,$extras}"
    fi
    install_package "$extras"
}

prepare_jazzy() {
    # A second environment, with Jazzy's wheels; all else is the first one's, which comes behind them.
    local mark="$JAZZY/.sharpdepth-installed" want="${JAZZY_WHEELS[*]}"
    if [ -f "$mark" ] && [ "$(cat "$mark")" = "$want" ]; then
        return 0
    fi
    say "installing ROS 2 Jazzy into $JAZZY"
    rm -rf "$JAZZY"
    "$PYTHON" -m venv "$JAZZY"
    # The wheels bring a NumPy of their own; torch was tested with the first environment's.
    "$JAZZY/bin/python" -m pip install --quiet --disable-pip-version-check "${JAZZY_WHEELS[@]}" \
        "numpy==$("$VENV/bin/python" -c 'import numpy; print(numpy.__version__)')"
    # After that, or pip would take the first environment's wheels for what is asked for.
    printf '%s\n' "$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
        "$ROOT" >"$("$JAZZY/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/first.pth"
    printf '%s' "$want" >"$mark"
}
